/**
 * Characters that change how the text around them reads without being seen: bidirectional marks and overrides, zero-width
 * characters, separators of lines, and control characters other than tab and line feed. What joins two emoji into one is seen.
 */
const UNSEEN =
  /(?![\t\n])(?!(?<=[\p{Extended_Pictographic}\p{Emoji_Modifier}]\uFE0F?)\u200D\p{Extended_Pictographic})[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Returns text of a stranger with its unseen characters spelled out, such as "⟨U+202E⟩", so that nothing hides or turns around. */
export function shown(text: string): string {
  return text.replace(UNSEEN, (char) => `⟨U+${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** Begins a message of the server as a sentence begins. */
export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Cuts text at a length and says how much is missing. */
export function clipped(text: string, length: number): string {
  return text.length <= length
    ? text
    : `${text.slice(0, length)}… (${formatCount(text.length - length)} more characters)`;
}

/** Returns a number with thin groups: "12 345". */
export function formatCount(count: number | bigint): string {
  return String(count).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** Returns "1 run" or "3 runs". */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

/** Shortens a run's id or a digest for dense places; the whole one belongs into the tooltip. */
export function shortId(id: string, length = 8): string {
  const plain = id.replace(/^sha256:/, "");
  return plain.length <= length + 1 ? plain : plain.slice(-length);
}

const OF_RUN: Readonly<Record<string, string>> = { fork: "fork of", rerun: "rerun of", run: "run" };

/** Says who or what made a run, in few words: "ada", "schedule nightly", "run 50b2zdcg", "fork of 50b2zdcg". */
export function makerText({ origin, submitter }: { origin: string; submitter: string }): string {
  const [, kind = "", name = ""] = /^(\w+):(.+)$/.exec(origin) ?? [];
  const word = OF_RUN[kind];
  if (word !== undefined) return `${word} ${shortId(name)}`;
  return kind === "schedule" ? `schedule ${name}` : origin || submitter;
}

/** Shortens a version, or another digest, to its first characters. */
export function shortVersion(version: string): string {
  return version.replace(/^sha256:/, "").slice(0, 8);
}

/** Reads JSON; undefined for text that is none. */
export function parsedJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** One cell of a CSV file: quoted where needed, and with a leading apostrophe where a spreadsheet would run it as a formula. */
export function csvCell(value: string): string {
  const disarmed = /^[=+\-@\t\r\n＝＋－＠]/.test(value) && !/^-?\d+(\.\d+)?$/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(disarmed) ? `"${disarmed.replaceAll('"', '""')}"` : disarmed;
}

/** Returns rows as a CSV text (RFC 4180) that no spreadsheet runs. */
export function csv(rows: readonly (readonly string[])[]): string {
  return `${rows.map((row) => row.map(csvCell).join(",")).join("\r\n")}\r\n`;
}
