/** Colours of terminals (ECMA-48 SGR) as segments of text. Every other escape sequence is left out: nothing in a log moves or links. */

import { shown } from "../common/text";

/** How a piece of a line looks. */
export interface Style {
  /** 0-15: the theme's colour of this number; "#rrggbb": that colour. */
  readonly color?: number | string;
  readonly background?: number | string;
  readonly bold?: boolean;
  readonly dim?: boolean;
  readonly italic?: boolean;
  readonly underline?: boolean;
  readonly strike?: boolean;
  readonly inverse?: boolean;
}

export interface Segment {
  readonly text: string;
  readonly style: Style;
}

const PLAIN: Style = {};
// CSI (with its final byte), OSC up to BEL or ST, the two-byte escapes, and the 8-bit CSI.
const ESCAPE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is looked for.
  /(?:\u001b\[|\u009b)([0-9:;<=>?]*)[ -/]*([@-~])|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|\u001b[PX^_][^\u001b]*(?:\u001b\\)?|\u001b[ -/]*[0-~]/g;

/** Splits one line into pieces of equal style; `before` is the style that the line begins with. */
export function parseAnsi(line: string, before: Style = PLAIN): { segments: Segment[]; after: Style } {
  if (!line.includes("\u001b") && !line.includes("\u009b")) {
    return { segments: line === "" ? [] : [{ text: shown(line), style: before }], after: before };
  }
  const segments: Segment[] = [];
  let style = before;
  let from = 0;
  for (const match of line.matchAll(ESCAPE)) {
    push(segments, line.slice(from, match.index), style);
    from = match.index + match[0].length;
    if (match[2] === "m") style = applySgr(style, match[1] ?? "");
  }
  push(segments, line.slice(from), style);
  return { segments, after: style };
}

/** The text of a line without its colours, as it is searched and copied. */
export function plainText(line: string): string {
  return shown(line.replace(ESCAPE, ""));
}

function push(segments: Segment[], text: string, style: Style): void {
  if (text === "") return;
  const last = segments.at(-1);
  const readable = shown(text);
  if (last !== undefined && last.style === style) {
    segments[segments.length - 1] = { text: last.text + readable, style };
  } else {
    segments.push({ text: readable, style });
  }
}

function applySgr(before: Style, parameters: string): Style {
  const codes = parameters === "" ? [0] : parameters.split(/[;:]/).map((part) => Number(part === "" ? 0 : part));
  let style: Style = before;
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at] as number;
    if (code === 38 || code === 48) {
      const [color, used] = extended(codes, at + 1);
      at += used;
      if (color !== undefined) style = { ...style, [code === 38 ? "color" : "background"]: color };
    } else {
      style = simple(style, code);
    }
  }
  return style;
}

function extended(codes: readonly number[], at: number): [number | string | undefined, number] {
  if (codes[at] === 5) return [indexed(codes[at + 1]), 2];
  if (codes[at] === 2) {
    const channels = codes.slice(at + 1, at + 4);
    if (channels.length < 3 || channels.some((channel) => !(channel >= 0 && channel <= 255))) return [undefined, 4];
    return [`#${channels.map(hex).join("")}`, 4];
  }
  return [undefined, 0];
}

function indexed(index: number | undefined): number | string | undefined {
  if (index === undefined || !(index >= 0 && index <= 255)) return undefined;
  if (index < 16) return index;
  if (index >= 232) return `#${hex(8 + (index - 232) * 10).repeat(3)}`;
  const cube = index - 16;
  const level = (part: number): string => hex(part === 0 ? 0 : 55 + part * 40);
  return `#${level(Math.floor(cube / 36))}${level(Math.floor(cube / 6) % 6)}${level(cube % 6)}`;
}

function hex(channel: number): string {
  return Math.floor(channel).toString(16).padStart(2, "0");
}

const FLAGS: Readonly<Record<number, Style>> = {
  1: { bold: true },
  2: { dim: true },
  3: { italic: true },
  4: { underline: true },
  7: { inverse: true },
  9: { strike: true },
  22: { bold: false, dim: false },
  23: { italic: false },
  24: { underline: false },
  27: { inverse: false },
  29: { strike: false },
};

function simple(style: Style, code: number): Style {
  if (code === 0) return PLAIN;
  const flags = FLAGS[code];
  if (flags !== undefined) return { ...style, ...flags };
  if (code >= 30 && code <= 37) return { ...style, color: code - 30 };
  if (code >= 90 && code <= 97) return { ...style, color: code - 82 };
  if (code >= 40 && code <= 47) return { ...style, background: code - 40 };
  if (code >= 100 && code <= 107) return { ...style, background: code - 92 };
  if (code === 39) return without(style, "color");
  if (code === 49) return without(style, "background");
  return style;
}

function without(style: Style, name: "color" | "background"): Style {
  const { [name]: _left, ...rest } = style;
  return rest;
}
