/** The critical path: the chain of attempts that made the run take as long as it did. */

import type { Spans } from "./spans";

/**
 * From the attempt that ended last back to the beginning: before each attempt comes the one that ended last before it became ready. A run
 * starts a step the moment that what it waited for has ended, so this is the chain of causes as far as times can tell it.
 */
export function criticalPath(spans: Spans): number[] {
  const ended = Array.from({ length: spans.count }, (_, at) => at)
    .filter((at) => (spans.end[at] as number) > 0)
    .sort((one, other) => (spans.end[one] as number) - (spans.end[other] as number));
  const path: number[] = [];
  let at = ended.length - 1;
  while (at >= 0) {
    const span = ended[at] as number;
    path.push(span);
    const readySeq = spans.readySeq[span] as number;
    const next = lastBefore(spans, ended, at, spans.ready[span] as number, readySeq);
    if (next < 0) break;
    at = next;
  }
  return path.reverse();
}

/** The place (in the order of ends) of the last attempt that had ended when another became ready. */
function lastBefore(spans: Spans, ended: readonly number[], from: number, readyUs: number, readySeq: number): number {
  let low = 0;
  let high = from;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((spans.end[ended[middle] as number] as number) <= readyUs) low = middle + 1;
    else high = middle;
  }
  for (let at = low - 1; at >= 0; at--) {
    const seq = spans.endSeq[ended[at] as number] as number;
    if (readySeq === 0 || seq === 0 || seq < readySeq) return at;
  }
  return -1;
}

/** How much of the time of the critical path was waiting for a runner, and how much was work. */
export function shares(spans: Spans, path: readonly number[]): { waitUs: number; workUs: number } {
  let waitUs = 0;
  let workUs = 0;
  for (const at of path) {
    const leased = (spans.leased[at] as number) || (spans.end[at] as number);
    waitUs += Math.max(0, leased - (spans.ready[at] as number));
    workUs += Math.max(0, (spans.end[at] as number) - leased);
  }
  return { waitUs, workUs };
}
