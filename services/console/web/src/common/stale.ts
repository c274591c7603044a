import { sentence, shown } from "./text";
import { formatAgo } from "./time";

/** Why a page is not new, and how old it is; `since` is 0 where no answer has come yet: then there is nothing old to see. */
export function staleText(reason: string, since: number, now: number): string {
  const why = `${shown(sentence(reason)).replace(/\.$/, "")}.`;
  if (since === 0) return why;
  return `${why} What you see is from ${now - since < 1000 ? "a moment ago" : formatAgo(since, now)}.`;
}
