import { Button } from "@mantine/core";
import { IconGridDots } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { StatusLabel, StatusMark } from "../../common/StatusMark";
import { clipped, formatCount, shown } from "../../common/text";
import { formatDuration } from "../../common/time";
import { Status } from "../../gen/kaonapi/run/v1/run_pb";
import { views } from "../clients";
import { useRunPage } from "../context";
import { countsOf, worstOf } from "../model/counts";
import { StatusBar, StatusLegend } from "../StatusBar";
import classes from "./Drawer.module.css";
import { Fact, Section } from "./StepOverview";

/** All instances of one node in the cells of a foreach, and the way to those that need somebody. */
export function FoldedPanel({ path }: { path: string }) {
  const { view, runId, seq, go, live } = useRunPage();
  const folded = view.folded.find((entry) => entry.path === path);
  const block = path.slice(0, path.indexOf("[]"));
  const node = path.slice(path.indexOf("[]") + 3).replaceAll(/\[\]|#/g, "");
  const list = useQuery({
    queryKey: ["cells-bad", runId, block, node, seq ?? "live", Math.floor(Number(live.timeUs) / 2_000_000)],
    queryFn: ({ signal }) =>
      views.listCells(
        {
          runId,
          block,
          node,
          moment: { at: { case: "seq", value: BigInt(seq ?? 0) } },
          statuses: [Status.FAILED, Status.TIMED_OUT, Status.QUARANTINED, Status.RUNNING],
          pageSize: 50,
        },
        { signal },
      ),
    placeholderData: (before) => before,
  });
  if (folded === undefined) return <p className={classes.content}>No cell has come as far as this.</p>;
  const counts = countsOf(folded.counts);
  return (
    <>
      <div className={classes.status}>
        <StatusLabel status={worstOf(counts)} />
      </div>
      <div className={classes.content}>
        <Section title="In all cells" count={Number(folded.total)}>
          <StatusBar counts={counts} height={8} />
          <StatusLegend counts={counts} />
          <dl className={classes.facts}>
            {folded.timed > 0n && (
              <Fact name="Average time">{formatDuration(Number(folded.sumUs) / Number(folded.timed) / 1000)}</Fact>
            )}
            {folded.retried > 0n && <Fact name="Retried">{formatCount(folded.retried)}</Fact>}
          </dl>
          <Button
            variant="light"
            leftSection={<IconGridDots size={14} />}
            onClick={() => go({ cells: block, step: "", tab: "graph" })}
          >
            Heatmap and table
          </Button>
        </Section>
        {list.data && list.data.cells.length > 0 && (
          <Section title="Failed and running" count={Number(list.data.matches)}>
            <ul className={classes.cellList}>
              {list.data.cells.map((cell) => (
                <li key={String(cell.index)}>
                  <button type="button" onClick={() => go({ step: cell.nodePath || cell.path })}>
                    <StatusMark status={cell.status} size={13} />
                    <code>{shown(cell.key || String(cell.index))}</code>
                    <span className={classes.dim}>{shown(clipped(cell.error?.message ?? "", 90))}</span>
                  </button>
                </li>
              ))}
            </ul>
          </Section>
        )}
      </div>
    </>
  );
}
