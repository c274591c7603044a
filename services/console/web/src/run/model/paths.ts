/** Readable paths of instances: `cycle#2/regions[US]/train`, `choose=0/small`. */

/** One step down: a node by its name, and the cell that was entered there. */
export interface Segment {
  readonly name: string;
  /** "[US]", "#2", "=0", "" for a group's body or for the node itself. */
  readonly cell: string;
}

const SEGMENT = /^([^[#=/]+)(\[[^\]]*\]|#\d+|=[^/]+)?$/;

/** Splits a path; a segment that cannot be read stays whole, as a name. */
export function parsePath(path: string): Segment[] {
  return path
    .split("/")
    .filter((part) => part !== "")
    .map((part) => {
      const match = SEGMENT.exec(part);
      return match === null ? { name: part, cell: "" } : { name: match[1] as string, cell: match[2] ?? "" };
    });
}

/** The name of the node in the definition that a path belongs to. */
export function nodeName(path: string): string {
  return parsePath(path).at(-1)?.name ?? "";
}

/** The path without its cells: the same for all instances of a node. */
export function pattern(path: string): string {
  return parsePath(path)
    .map((segment) => segment.name)
    .join("/");
}

/** Whether a path is that of a place or of something inside of it; everything is inside of the empty place. */
export function atOrUnder(path: string, place: string): boolean {
  if (place === "" || path === place) return true;
  return path.startsWith(place) && (place.endsWith("/") || "/[#=".includes(path[place.length] as string));
}

/** The path of the scope that a path lies in, "" for the run's. */
export function scopeOf(path: string): string {
  const at = path.lastIndexOf("/");
  return at < 0 ? "" : path.slice(0, at);
}

/** The number of a pass, or undefined. */
export function passOf(cell: string): number | undefined {
  return cell.startsWith("#") ? Number(cell.slice(1)) : undefined;
}
