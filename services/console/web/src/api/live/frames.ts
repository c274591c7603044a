/** As long as a frame lasts where there are sixty in a second. */
const FRAME_MS = 16;

/**
 * Hands over what comes: after a rest by the next task, so that it is rendered while the browser waits for its next frame; else gathered,
 * in the next frame. So however much comes, and however late the page is, it renders about once a frame. A page that nobody sees has no
 * frames, and is told by the next task.
 */
export function perFrame<T>(hand: (gathered: readonly T[]) => void): (one: T) => void {
  let gathered: T[] = [];
  let handedAt = Number.NEGATIVE_INFINITY;
  const give = () => {
    if (gathered.length === 0) return;
    const all = gathered;
    gathered = [];
    hand(all);
    handedAt = performance.now();
  };
  const rested = () => performance.now() - handedAt >= FRAME_MS;
  const later = () => void (document.hidden || rested() ? setTimeout(give) : requestAnimationFrame(give));
  // The frame that was waited for may not come any more.
  document.addEventListener("visibilitychange", give);
  return (one) => {
    gathered.push(one);
    if (gathered.length === 1) later();
  };
}
