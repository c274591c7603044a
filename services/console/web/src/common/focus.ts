import { useEffect, useState } from "react";

/** Gives the focus back to what had it before, when what took it goes away and nothing else has taken it. */
export function useReturnedFocus(): void {
  const [before] = useState(opener);
  useEffect(
    () => () => {
      if (document.activeElement !== null && document.activeElement !== document.body) return;
      // What was pressed may be gone, too: then the keyboard goes on in the page, and not before the navigation.
      const next = before?.isConnected && before !== document.body ? before : document.getElementById("main");
      if (next instanceof HTMLElement) next.focus();
    },
    [before],
  );
}

/** Whether the keyboard is used: what it has reached shows that it has the focus. */
export function byKeyboard(): boolean {
  const active = document.activeElement;
  return active !== null && active !== document.body && active.matches(":focus-visible");
}

/** What was pressed; of an item in a menu, which closes, the button of the menu. */
function opener(): Element | null {
  const active = document.activeElement;
  const menu = active?.closest("[role=menu]");
  return menu ? document.querySelector(`[aria-controls="${CSS.escape(menu.id)}"]`) : active;
}
