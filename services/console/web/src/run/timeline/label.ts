/**
 * Fits a path into a width: the end of a path tells more than its beginning, and of one long name both ends tell names apart.
 *
 * "outer/inner/train" becomes "…/inner/train", and "layer-0-with-a-long-name" becomes "layer-0-…ong-name".
 */
export function fittedText(widthOf: (text: string) => number, text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  const slash = text.indexOf("/");
  if (slash >= 0) {
    for (let at = slash; at >= 0; at = text.indexOf("/", at + 1)) {
      const end = `…${text.slice(at)}`;
      if (widthOf(end) <= width) return end;
    }
    return cutInside(widthOf, text.slice(text.lastIndexOf("/") + 1), width);
  }
  return cutInside(widthOf, text, width);
}

function cutInside(widthOf: (text: string) => number, name: string, width: number): string {
  if (widthOf(name) <= width) return name;
  let [least, most] = [0, name.length];
  while (least < most) {
    const kept = Math.ceil((least + most) / 2);
    if (widthOf(cutTo(name, kept)) <= width) least = kept;
    else most = kept - 1;
  }
  return cutTo(name, least);
}

function cutTo(name: string, kept: number): string {
  const begin = Math.ceil(kept / 2);
  return `${name.slice(0, begin)}…${name.slice(name.length - (kept - begin))}`;
}
