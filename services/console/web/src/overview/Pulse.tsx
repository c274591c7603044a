import { useElementSize } from "@mantine/hooks";
import { Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { StatusMark } from "../common/StatusMark";
import { formatCount } from "../common/text";
import { Status } from "../gen/kaonapi/run/v1/run_pb";
import { Bars } from "../runs/Bars";
import { barsOf, tonesOf } from "../runs/density";
import { useCounts } from "../runs/useRuns";
import classes from "./Pulse.module.css";

const HOUR = { since: "1h" } as const;
/** One bar a minute. */
const BUCKETS = 60;
const HEIGHT = 64;

/** The runs of the last hour: how many, how they went, and when they came. */
export function Pulse({ changed }: { changed: number }) {
  const { data } = useCounts(HOUR, BUCKETS, changed, 60_000);
  const { ref, width } = useElementSize();
  const bars = useMemo(() => (data ? barsOf(data, BUCKETS) : []), [data]);
  const tones = tonesOf(data?.totals ?? []);
  const total = Object.values(tones).reduce((sum, count) => sum + count, 0);
  const ended = tones.done + tones.failed;
  return (
    <section className={classes.pulse} aria-label="The last hour">
      <div className={classes.figures}>
        <Figure label="Runs in the last hour" value={formatCount(total)} search={HOUR} />
        <Figure
          label="Active"
          value={formatCount(tones.running + tones.waiting + tones.idle)}
          search={{ ...HOUR, status: ["PENDING", "RUNNING", "PAUSED", "CANCELLING"] }}
          mark={Status.RUNNING}
        />
        <Figure
          label="Succeeded"
          value={formatCount(tones.done)}
          search={{ ...HOUR, status: ["SUCCEEDED"] }}
          mark={Status.SUCCEEDED}
        />
        <Figure
          label="Failed"
          value={formatCount(tones.failed)}
          search={{ ...HOUR, status: ["FAILED", "TIMED_OUT"] }}
          mark={Status.FAILED}
        />
        <div className={classes.figure}>
          <span className={classes.value}>{ended === 0 ? "–" : `${Math.round((tones.done / ended) * 100)} %`}</span>
          <span className={classes.label}>Success rate</span>
        </div>
      </div>
      <div>
        <div className={classes.bars} ref={ref} style={{ minHeight: HEIGHT + 1 }}>
          {width > 0 && <Bars bars={bars} width={width} height={HEIGHT} />}
        </div>
        <div className={classes.axis} aria-hidden="true">
          <span>1 h ago</span>
          <span>now</span>
        </div>
      </div>
    </section>
  );
}

interface FigureProps {
  label: string;
  value: string;
  search: { since: string; status?: readonly string[] };
  mark?: Status;
}

function Figure({ label, value, search, mark }: FigureProps) {
  return (
    <Link to="/runs" search={search} className={classes.figure}>
      <span className={classes.value}>{value}</span>
      <span className={classes.label}>
        {mark !== undefined && <StatusMark status={mark} size={12} labelled={false} />}
        {label}
      </span>
    </Link>
  );
}
