import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { useNow } from "./clock";
import { formatAgo, formatDuration, formatExact, formatShort, formatTime, millisOf } from "./time";
import { useZone } from "./zone";

type Format = "full" | "short" | "ago";

/** Shows a moment in the chosen zone; the exact one stands in its tooltip. */
export function Time({ at, format = "full" }: { at: Timestamp | number | undefined; format?: Format }) {
  const millis = typeof at === "object" ? millisOf(at) : at;
  if (millis === undefined) return <span aria-hidden="true">–</span>;
  return format === "full" ? <FullTime millis={millis} /> : <AgeingTime millis={millis} format={format} />;
}

function FullTime({ millis }: { millis: number }) {
  const zone = useZone();
  return (
    <time dateTime={new Date(millis).toISOString()} title={formatExact(millis, zone)}>
      {formatTime(millis, zone)}
    </time>
  );
}

function AgeingTime({ millis, format }: { millis: number; format: Format }) {
  const zone = useZone();
  const now = useNow();
  return (
    <time dateTime={new Date(millis).toISOString()} title={formatExact(millis, zone)}>
      {format === "ago" ? formatAgo(millis, now) : formatShort(millis, now, zone)}
    </time>
  );
}

/** Shows how long something took, or how long it has been going on. */
export function Duration({ from, to }: { from: Timestamp | undefined; to: Timestamp | undefined }) {
  const start = millisOf(from);
  const end = millisOf(to);
  if (start === undefined) return <span aria-hidden="true">–</span>;
  return end === undefined ? <RunningDuration start={start} /> : formatDuration(end - start);
}

function RunningDuration({ start }: { start: number }) {
  return <>{formatDuration(Math.max(0, useNow() - start))}</>;
}
