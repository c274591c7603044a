/** Reads Markdown into blocks of plain text: what a report says, and nothing that could act. HTML stays text, links name where they lead. */

export type Inline =
  | { readonly kind: "text" | "code" | "strong" | "em"; readonly text: string }
  | { readonly kind: "link"; readonly text: string; readonly to: string };

export type Block =
  | { readonly kind: "heading"; readonly level: number; readonly text: readonly Inline[] }
  | { readonly kind: "paragraph" | "quote"; readonly text: readonly Inline[] }
  | { readonly kind: "list"; readonly ordered: boolean; readonly items: readonly ListItem[] }
  | { readonly kind: "code"; readonly text: string }
  | { readonly kind: "table"; readonly columns: readonly string[]; readonly rows: readonly (readonly string[])[] }
  | { readonly kind: "rule" };

export interface ListItem {
  readonly depth: number;
  readonly text: readonly Inline[];
}

/** A longer text is shown in part. */
export const BLOCKS = 1_500;

const FENCE = /^ {0,3}(```+|~~~+)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)#*\s*$/;
const ITEM = /^(\s{0,12})([-*+]|\d{1,9}[.)])\s+(.*)$/;
const RULE = /^ {0,3}([-*_])( *\1){2,} *$/;
const QUOTE = /^ {0,3}> ?/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

export function parseMarkdown(text: string, most = BLOCKS): Block[] {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const blocks: Block[] = [];
  let at = 0;
  while (at < lines.length && blocks.length < most) {
    const line = lines[at] as string;
    if (line.trim() === "") {
      at++;
      continue;
    }
    const [block, next] = blockAt(lines, at);
    blocks.push(block);
    at = next;
  }
  return blocks;
}

/** The block that begins at a line, and the line after it. */
function blockAt(lines: readonly string[], at: number): [Block, number] {
  const line = lines[at] as string;
  const fence = FENCE.exec(line)?.[1];
  if (fence !== undefined) return codeAt(lines, at, fence);
  const heading = HEADING.exec(line);
  if (heading) return [{ kind: "heading", level: heading[1]!.length, text: inlines(heading[2]!) }, at + 1];
  if (RULE.test(line)) return [{ kind: "rule" }, at + 1];
  if (isTable(lines, at)) return tableAt(lines, at);
  if (ITEM.test(line)) return listAt(lines, at);
  const quote = QUOTE.test(line);
  let end = at + 1;
  while (end < lines.length && !begins(lines, end) && QUOTE.test(lines[end]!) === quote) end++;
  const text = lines.slice(at, end).map((each) => (quote ? each.replace(QUOTE, "") : each.trim()));
  return [{ kind: quote ? "quote" : "paragraph", text: inlines(text.join(" ")) }, end];
}

/** Whether a paragraph ends before this line. */
function begins(lines: readonly string[], at: number): boolean {
  const line = lines[at] as string;
  return line.trim() === "" || FENCE.test(line) || HEADING.test(line) || RULE.test(line) || ITEM.test(line);
}

function codeAt(lines: readonly string[], at: number, fence: string): [Block, number] {
  let end = at + 1;
  while (end < lines.length && !lines[end]!.trimStart().startsWith(fence)) end++;
  return [{ kind: "code", text: lines.slice(at + 1, end).join("\n") }, end + 1];
}

function isTable(lines: readonly string[], at: number): boolean {
  const next = lines[at + 1];
  return lines[at]!.includes("|") && next?.includes("-") === true && DIVIDER.test(next);
}

function tableAt(lines: readonly string[], at: number): [Block, number] {
  let end = at + 2;
  while (end < lines.length && lines[end]!.includes("|")) end++;
  const rows = lines.slice(at + 2, end).map(fieldsOf);
  return [{ kind: "table", columns: fieldsOf(lines[at]!), rows }, end];
}

function fieldsOf(line: string): string[] {
  const inner = line.trim().replace(/^\|/, "").replace(/\|$/, "");
  return inner.split("|").map((field) => plain(inlines(field.trim())));
}

function listAt(lines: readonly string[], at: number): [Block, number] {
  const items: { depth: number; text: string }[] = [];
  let end = at;
  for (; end < lines.length; end++) {
    const item = ITEM.exec(lines[end]!);
    if (item) items.push({ depth: Math.min(4, Math.floor(item[1]!.length / 2)), text: item[3]! });
    else if (begins(lines, end)) break;
    // A line that is no item goes on with the one before.
    else items.at(-1)!.text += ` ${lines[end]!.trim()}`;
  }
  const ordered = /^\s*\d/.test(lines[at]!);
  return [{ kind: "list", ordered, items: items.map(({ depth, text }) => ({ depth, text: inlines(text) })) }, end];
}

// Each part is bounded: a hostile text of open brackets is read in one pass, too.
const MARKS =
  /`([^`\n]{1,500})`|\*\*([^*\n]{1,500})\*\*|\*([^*\s][^*\n]{0,500})\*|!?\[([^\]\n]{0,500})\]\(([^)\s]{0,500})\)/g;

export function inlines(text: string): Inline[] {
  const found: Inline[] = [];
  let done = 0;
  for (const match of text.matchAll(MARKS)) {
    if (match.index > done) found.push({ kind: "text", text: text.slice(done, match.index) });
    const [, code, strong, em, label, to] = match;
    if (code !== undefined) found.push({ kind: "code", text: code });
    else if (strong !== undefined) found.push({ kind: "strong", text: strong });
    else if (em !== undefined) found.push({ kind: "em", text: em });
    else found.push({ kind: "link", text: label as string, to: to as string });
    done = match.index + match[0].length;
  }
  if (done < text.length) found.push({ kind: "text", text: text.slice(done) });
  return found;
}

function plain(parts: readonly Inline[]): string {
  return parts.map((part) => (part.kind === "link" ? `${part.text} (${part.to})` : part.text)).join("");
}
