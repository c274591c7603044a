/**
 * Gathers what comes between two frames, and hands it over at once in the next one: however much comes, and however late the page is, it
 * renders once a frame. A page that nobody sees has no frames, and is told by the next task.
 */
export function perFrame<T>(hand: (gathered: readonly T[]) => void): (one: T) => void {
  let gathered: T[] = [];
  const give = () => {
    if (gathered.length === 0) return;
    const all = gathered;
    gathered = [];
    hand(all);
  };
  const later = () => void (document.hidden ? setTimeout(give) : requestAnimationFrame(give));
  // The frame that was waited for may not come any more.
  document.addEventListener("visibilitychange", give);
  return (one) => {
    gathered.push(one);
    if (gathered.length === 1) later();
  };
}
