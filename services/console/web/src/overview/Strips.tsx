import { Link } from "@tanstack/react-router";
import { StatusMark } from "../common/StatusMark";
import { statusLook } from "../common/status";
import { shortId, shown } from "../common/text";
import { formatDuration } from "../common/time";
import type { Strip } from "./failures";
import page from "./OverviewPage.module.css";
import classes from "./Strips.module.css";

/** The workflows that ran lately, each with its newest runs as marks. */
export function Strips({ strips }: { strips: readonly Strip[] }) {
  return (
    <section className={page.section} aria-labelledby="workflows">
      <h2 id="workflows">Workflows</h2>
      {strips.length === 0 && <p className={page.calm}>No workflow has run yet.</p>}
      <ul className={classes.list} data-single={strips.length < 2}>
        {strips.slice(0, 2).map(({ workflow }) => (
          // One over each of the two columns that a wide page has.
          <li key={`over ${workflow}`} className={`${classes.row} ${classes.head}`} aria-hidden="true">
            <span>Workflow</span>
            <span>Newest runs</span>
            <span>Succeed</span>
            <span>Median</span>
          </li>
        ))}
        {strips.map(({ workflow, runs, success, median }) => (
          <li key={workflow} className={classes.row}>
            <Link to="/runs" search={{ workflow }} className={classes.name}>
              {shown(workflow)}
            </Link>
            <span className={classes.marks}>
              {runs.map((run) => (
                <Link
                  key={run.runId}
                  to="/runs/$runId"
                  params={{ runId: run.runId }}
                  className={classes.mark}
                  aria-label={`${shortId(run.runId)} ${statusLook(run.status).label}`}
                >
                  <StatusMark status={run.status} size={12} />
                </Link>
              ))}
            </span>
            <span className={classes.fact} title="Success rate of these runs">
              {success === undefined ? "–" : `${Math.round(success * 100)} %`}
            </span>
            <span className={classes.fact} title="Median duration of those that succeeded">
              {median === undefined ? "–" : formatDuration(median)}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
