import { useConnection } from "../api/connection";
import { useNow } from "../common/clock";
import { formatAgo } from "../common/time";
import classes from "./Pulse.module.css";

/** Says in one dot whether what is shown is new. */
export function Pulse() {
  const { state, goodAt } = useConnection();
  const now = useNow();
  const label = { good: "Connected", lost: "Connection lost", "signed-out": "Signed out" }[state];
  const detail = goodAt === 0 ? label : `${label}. The newest answer came ${formatAgo(goodAt, Math.max(now, goodAt))}.`;
  return <span className={classes.pulse} data-state={state} role="img" aria-label={label} title={detail} />;
}
