import { Dialog } from "../../common/Dialog";
import { Keys } from "./Keys";
import classes from "./ShortcutHelp.module.css";
import { type Shortcut, useShortcuts } from "./shortcuts";

function grouped(shortcuts: readonly Shortcut[]): [string, Shortcut[]][] {
  const groups = new Map<string, Map<string, Shortcut>>();
  for (const shortcut of shortcuts) {
    const group = groups.get(shortcut.group) ?? new Map<string, Shortcut>();
    groups.set(shortcut.group, group.set(shortcut.keys, shortcut));
  }
  return [...groups].map(([name, entries]) => [name, [...entries.values()]]);
}

/** Lists the shortcuts that work on this page. */
export function ShortcutHelp({ onClose }: { onClose: () => void }) {
  const shortcuts = useShortcuts();
  return (
    <Dialog onClose={onClose} title="Keyboard shortcuts" size="md">
      {grouped(shortcuts).map(([group, entries]) => (
        <section key={group} className={classes.group}>
          <h3>{group}</h3>
          <dl>
            {entries.map(({ keys, label }) => (
              <div key={keys}>
                <dt>{label}</dt>
                <dd>
                  <Keys keys={keys} />
                </dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
    </Dialog>
  );
}
