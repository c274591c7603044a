/** What stands behind "?" in an address: texts, and lists of texts. Plain and short, so that people can read and write it. */
export type Search = Readonly<Record<string, string | readonly string[] | undefined>>;

/** Reads "?status=FAILED&status=LATE&text=x". A name that comes more than once is a list. */
export function parseSearch(text: string): Record<string, string | string[]> {
  const found = new Map<string, string[]>();
  for (const [name, value] of new URLSearchParams(text)) found.set(name, [...(found.get(name) ?? []), value]);
  return Object.fromEntries([...found].map(([name, values]) => [name, values.length === 1 ? values[0]! : values]));
}

/** Writes what `parseSearch` reads; what is undefined or empty is left out. */
export function formatSearch(search: Record<string, unknown>): string {
  const pairs: string[] = [];
  for (const [name, value] of Object.entries(search)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each === undefined || each === null || each === "") continue;
      pairs.push(`${encodeURIComponent(name)}=${plain(encodeURIComponent(String(each)))}`);
    }
  }
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}

/** Leaves readable what an address allows in its query. */
function plain(text: string): string {
  return text.replace(/%(3A|3D|2F|2C|40|5B|5D)/g, (coded) => decodeURIComponent(coded));
}

/** Returns a value of an address as a list. */
export function listOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.filter((each) => typeof each === "string");
  return typeof value === "string" && value !== "" ? [value] : [];
}

/** Returns a value of an address as one text; undefined when it is none. */
export function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
