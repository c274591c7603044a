"""The keyboard as people use it who have nothing else: what has the focus is always in the page, and seen."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

# Milliseconds; only for what never comes.
_PATIENCE = 30_000
# What has the focus: whether it is in the page and shows it, and what it is.
_FOCUS = """
async () => {
  // What moves into sight, or gives the focus back, does so with the next frame.
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))));
  const active = document.activeElement;
  if (active === null || active === document.body) return {lost: true, seen: false, what: "nothing"};
  const ring = one => {
    const style = getComputedStyle(one);
    const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    return outlined || style.boxShadow !== "none";
  };
  // Some are outlined by what stands around or in them.
  const near = [active, active.parentElement, ...active.querySelectorAll("[data-cursor]"),
    active.closest("[data-current], [role=dialog], label")].filter(Boolean);
  const seen = near.some(ring) || active.matches("input, textarea, path");
  const box = active.getBoundingClientRect();
  const within = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  const name = active.ariaLabel ?? active.innerText ?? "";
  const at = `${Math.round(box.x)},${Math.round(box.y)}, ${seen ? "with" : "without"} a ring`;
  return {lost: false, seen: seen && within, what: `${active.tagName} ${name.trim().slice(0, 60)} (${at})`};
}
"""
# More than any page has before its last control.
_MOST_TABS = 120


class Keys:
    """Presses keys in a page; after each press the focus must be somewhere, and be seen."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def press(self, *keys: str) -> None:
        """Presses keys one after the other."""
        for key in keys:
            self._page.keyboard.press(key)

    def write(self, text: str) -> None:
        """Writes where the focus is."""
        self._page.keyboard.type(text)

    def tab_to(self, target: Locator, *, back: bool = False) -> None:
        """Goes on by the tabulator until something has the focus."""
        expect(target).to_be_visible(timeout=_PATIENCE)
        passed = []
        for _ in range(_MOST_TABS):
            if target.evaluate("one => one === document.activeElement"):
                self.is_seen()
                return
            self.press("Shift+Tab" if back else "Tab")
            passed.append(self.is_seen(or_nothing=True))
        raise AssertionError(f"{target} is not reached: {passed}")

    def is_seen(self, *, or_nothing: bool = False) -> str:
        """Checks that the focus is somewhere and seen, and returns what has it. At the page's ends the browser has it itself."""
        found = self._page.evaluate(_FOCUS)
        if or_nothing and found["lost"]:
            return "the browser"
        assert not found["lost"], "nothing has the focus"
        assert found["seen"], f"not seen: {found['what']}"
        what: str = found["what"]
        return what
