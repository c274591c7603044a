import { Button, Loader } from "@mantine/core";
import { IconAlertTriangle, IconCloudOff, IconLock, IconMoodEmpty, IconSearchOff } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { type Fault, faultOf } from "../api/fault";
import { useNow } from "./clock";
import { staleText } from "./stale";
import classes from "./states.module.css";
import { sentence, shown } from "./text";

interface PlaceProps {
  icon: ReactNode;
  title: string;
  children?: ReactNode;
  role?: "status" | "alert";
}

function Place({ icon, title, children, role = "status" }: PlaceProps) {
  return (
    <div className={classes.place} role={role}>
      <div className={classes.icon}>{icon}</div>
      <div className={classes.title}>{title}</div>
      {children && <div className={classes.text}>{children}</div>}
    </div>
  );
}

/** Nothing to show, and what to do about it. */
export function EmptyState({ title, icon, children }: { title: string; icon?: ReactNode; children?: ReactNode }) {
  return (
    <Place icon={icon ?? <IconMoodEmpty size={22} stroke={1.5} />} title={title}>
      {children}
    </Place>
  );
}

/** The first answer has not come yet. Appears after a moment, so that a quick answer does not flicker. */
export function LoadingState({ label = "Loading" }: { label?: string }) {
  return (
    <div className={`${classes.place} ${classes.late}`} role="status" aria-live="polite" aria-busy="true">
      <Loader size="sm" color="gray" />
      <div className={classes.text}>{label}</div>
    </div>
  );
}

/** The server refuses this person. */
export function ForbiddenState({ fault }: { fault: Fault }) {
  return (
    <Place icon={<IconLock size={22} stroke={1.5} />} title="You may not see this" role="alert">
      {shown(sentence(fault.message))}
    </Place>
  );
}

interface ErrorProps {
  error: unknown;
  retry?: () => void;
  /** Where to go on from here when there is no such thing, or none may be asked for: links and buttons. */
  ways?: ReactNode;
}

/** Something went wrong: what, and a way on. Chooses the right state for what the server refuses or does not know. */
export function ErrorState({ error, retry, ways }: ErrorProps) {
  const fault = faultOf(error);
  if (fault.kind === "forbidden") return <ForbiddenState fault={fault} />;
  // To ask for the same again helps nobody.
  const leads = ways !== undefined && (fault.kind === "missing" || fault.kind === "refused");
  const icon =
    fault.kind === "missing" ? (
      <IconSearchOff size={22} stroke={1.5} />
    ) : fault.kind === "away" ? (
      <IconCloudOff size={22} stroke={1.5} />
    ) : (
      <IconAlertTriangle size={22} stroke={1.5} />
    );
  return (
    <Place icon={icon} title={fault.title} role="alert">
      <p className={classes.message}>{shown(sentence(fault.message))}</p>
      {retry && fault.kind !== "missing" && !leads && (
        <Button variant="default" onClick={retry}>
          Try again
        </Button>
      )}
      {leads && <div className={classes.ways}>{ways}</div>}
    </Place>
  );
}

/** What is shown is old: how old, why, and a way to ask again. `since`: milliseconds since the epoch, 0 for never. */
export function StaleBanner({ since, reason, retry }: { since: number; reason: string; retry?: () => void }) {
  const now = useNow();
  return (
    <div className={classes.stale} role="status">
      <IconCloudOff size={14} stroke={1.75} aria-hidden="true" />
      <span>{staleText(reason, since, now)}</span>
      {retry && (
        <Button size="compact-xs" variant="default" onClick={retry}>
          Try now
        </Button>
      )}
    </div>
  );
}
