/**
 * Keeps the keyboard where it was: when what has the focus goes away, or can be used no longer, the nearest thing around it that
 * can take the focus gets it. Without this the browser would begin anew at the top of the page.
 */
export function keepFocus(): void {
  // What has the focus, and what stands around it.
  let around: Element[] = [];
  let checking = false;
  const note = ({ target }: FocusEvent): void => {
    around = [];
    for (let each = target as Element | null; each !== null; each = each.parentElement) around.push(each);
  };
  const isLost = (): boolean => {
    const [last] = around;
    const nowhere = document.activeElement === document.body || document.activeElement === last;
    return last !== undefined && nowhere && (!last.isConnected || last.matches(":disabled"));
  };
  const mend = (): void => {
    checking = false;
    if (!isLost()) return;
    const next = around.slice(1).find((each) => each.isConnected && each.hasAttribute("tabindex"));
    ((next as HTMLElement | undefined) ?? document.getElementById("main"))?.focus({ preventScroll: true });
  };
  const watch = new MutationObserver(() => {
    if (checking || !isLost()) return;
    checking = true;
    // What closes gives the focus back by itself, a moment later.
    requestAnimationFrame(() => setTimeout(mend));
  });
  watch.observe(document.body, { subtree: true, childList: true, attributeFilter: ["disabled"] });
  document.addEventListener("focusin", note);
  // Who presses beside everything wants the focus nowhere.
  document.addEventListener("pointerdown", () => {
    around = [];
  });
}
