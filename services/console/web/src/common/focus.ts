import { useEffect, useState } from "react";

/** Gives the focus back to what had it before, when what took it goes away and nothing else has taken it. */
export function useReturnedFocus(): void {
  const [before] = useState(opener);
  useEffect(
    () => () => {
      const lost = document.activeElement === null || document.activeElement === document.body;
      if (lost && before instanceof HTMLElement) before.focus();
    },
    [before],
  );
}

/** What was pressed; of an item in a menu, which closes, the button of the menu. */
function opener(): Element | null {
  const active = document.activeElement;
  const menu = active?.closest("[role=menu]");
  return menu ? document.querySelector(`[aria-controls="${CSS.escape(menu.id)}"]`) : active;
}
