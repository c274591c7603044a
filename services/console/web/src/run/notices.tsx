import { CloseButton } from "@mantine/core";
import { IconAlertTriangle, IconCheck } from "@tabler/icons-react";
import { createStore, useStore } from "../common/store";
import { shown } from "../common/text";
import classes from "./notices.module.css";

interface Notice {
  readonly id: number;
  readonly good: boolean;
  readonly text: string;
}

const store = createStore<readonly Notice[]>([]);
let next = 0;
const SHOWN_MS = 8_000;

/** Says for a while what a command did, or why it did not. */
export function notify(text: string, good = true): void {
  const id = ++next;
  store.set([...store.get().slice(-3), { id, good, text }]);
  if (good) setTimeout(() => dismiss(id), SHOWN_MS);
}

function dismiss(id: number): void {
  store.set(store.get().filter((notice) => notice.id !== id));
}

export function Notices() {
  const notices = useStore(store);
  return (
    <div className={classes.notices} role="log" aria-live="polite" aria-label="What commands did">
      {notices.map((notice) => (
        <div key={notice.id} className={notice.good ? classes.good : classes.bad}>
          {notice.good ? (
            <IconCheck size={15} aria-hidden="true" />
          ) : (
            <IconAlertTriangle size={15} aria-hidden="true" />
          )}
          <span>{shown(notice.text)}</span>
          <CloseButton size="xs" aria-label="Dismiss" onClick={() => dismiss(notice.id)} />
        </div>
      ))}
    </div>
  );
}
