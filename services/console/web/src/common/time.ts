import type { Timestamp } from "@bufbuild/protobuf/wkt";

/** Which clock times are shown in. */
export type Zone = "local" | "utc";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Returns milliseconds since the epoch, or undefined for a time that has not come. */
export function millisOf(time: Timestamp | undefined): number | undefined {
  return time === undefined ? undefined : Number(time.seconds) * 1000 + time.nanos / 1e6;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

interface Parts {
  date: string;
  clock: string;
  milli: string;
}

function partsOf(millis: number, zone: Zone): Parts {
  const time = new Date(millis);
  const utc = zone === "utc";
  const [year, month, day] = utc
    ? [time.getUTCFullYear(), time.getUTCMonth(), time.getUTCDate()]
    : [time.getFullYear(), time.getMonth(), time.getDate()];
  const [hour, minute, second, milli] = utc
    ? [time.getUTCHours(), time.getUTCMinutes(), time.getUTCSeconds(), time.getUTCMilliseconds()]
    : [time.getHours(), time.getMinutes(), time.getSeconds(), time.getMilliseconds()];
  return {
    date: `${year}-${two(month + 1)}-${two(day)}`,
    clock: `${two(hour)}:${two(minute)}:${two(second)}`,
    milli: String(milli).padStart(3, "0"),
  };
}

/** Returns "2026-11-29 13:05:07". */
export function formatTime(millis: number, zone: Zone): string {
  const { date, clock } = partsOf(millis, zone);
  return `${date} ${clock}`;
}

/** Returns "2026-11-29 13:05:07.042 UTC" or with the offset of the local clock, for tooltips and copies. */
export function formatExact(millis: number, zone: Zone): string {
  const { date, clock, milli } = partsOf(millis, zone);
  return `${date} ${clock}.${milli} ${zone === "utc" ? "UTC" : offsetOf(millis)}`;
}

function offsetOf(millis: number): string {
  const minutes = -new Date(millis).getTimezoneOffset();
  const sign = minutes < 0 ? "-" : "+";
  return `${sign}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`;
}

/** Returns the time of day alone when it is of the day of `now`, else month, day and time: for dense lists. */
export function formatShort(millis: number, now: number, zone: Zone): string {
  const at = partsOf(millis, zone);
  const today = partsOf(now, zone);
  return at.date === today.date ? at.clock : `${at.date.slice(5)} ${at.clock.slice(0, 5)}`;
}

/** Returns "14:05:07.042". */
export function formatClock(millis: number, zone: Zone): string {
  const { clock, milli } = partsOf(millis, zone);
  return `${clock}.${milli}`;
}

/** Returns a length in at most two units: "420 ms", "3.2 s", "4 min 05 s", "2 h 10 min", "3 d 4 h". */
export function formatDuration(millis: number): string {
  if (millis < 0) return "0 ms";
  if (millis < 999.5) return `${Math.round(millis)} ms`;
  if (millis < MINUTE) return `${(millis / 1000).toFixed(1)} s`;
  if (millis < HOUR) return `${Math.floor(millis / MINUTE)} min ${two(Math.floor((millis % MINUTE) / 1000))} s`;
  if (millis < DAY) return `${Math.floor(millis / HOUR)} h ${two(Math.floor((millis % HOUR) / MINUTE))} min`;
  return `${Math.floor(millis / DAY)} d ${Math.floor((millis % DAY) / HOUR)} h`;
}

/** Returns how long ago, in one unit: "now", "12 s ago", "5 min ago", "3 h ago", "2 d ago". */
export function formatAgo(millis: number, now: number): string {
  const age = now - millis;
  if (age < 1000) return "now";
  if (age < MINUTE) return `${Math.floor(age / 1000)} s ago`;
  if (age < HOUR) return `${Math.floor(age / MINUTE)} min ago`;
  if (age < DAY) return `${Math.floor(age / HOUR)} h ago`;
  return `${Math.floor(age / DAY)} d ago`;
}

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: MINUTE, h: HOUR, d: DAY, w: 7 * DAY };

/** Returns the moment that "30m", "24h", "7d" or an ISO time names; undefined for anything else. */
export function parseSince(text: string, now: number): number | undefined {
  const relative = /^(\d{1,6})([smhdw])$/.exec(text);
  if (relative) return now - Number(relative[1]) * UNITS[relative[2]!]!;
  const at = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : at;
}
