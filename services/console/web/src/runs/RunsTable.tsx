import { Checkbox, VisuallyHidden } from "@mantine/core";
import { IconArrowDown, IconArrowUp } from "@tabler/icons-react";
import { Link, useNavigate } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type CSSProperties, type MouseEvent, useEffect, useRef } from "react";
import { useShortcut } from "../app/keys/shortcuts";
import { StatusMark } from "../common/StatusMark";
import { Duration, Time } from "../common/Time";
import { makerText, shortId, shown } from "../common/text";
import type { Run } from "../gen/kaonapi/run/v1/run_pb";
import { type Column, useColumns } from "./columns";
import classes from "./RunsTable.module.css";
import type { Order } from "./search";
import { useCursor } from "./useRuns";

const ROW = 34;
const NARROW_ROW = 56;

interface Props {
  runs: readonly Run[];
  hasMore: boolean;
  onMore: () => void;
  narrow: boolean;
  order: Order;
  onOrder: (order: Order) => void;
  chosen: ReadonlySet<string>;
  /** A row was clicked; with `range` also all rows since the last one. */
  onChoose: (runId: string, range: boolean) => void;
  onChooseAll: (on: boolean) => void;
}

/** The list of runs. Only the rows in sight are in the page. */
export function RunsTable(props: Props) {
  const { runs, hasMore, onMore, narrow, chosen, onChoose } = props;
  const columns = useColumns();
  const scroller = useRef<HTMLDivElement>(null);
  const navigate = useNavigate();
  const { cursor, move, place } = useCursor(runs.length);
  const virtual = useVirtualizer({
    count: runs.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => (narrow ? NARROW_ROW : ROW),
    overscan: 12,
    getItemKey: (index) => runs[index]!.runId,
  });
  const rows = virtual.getVirtualItems();
  const last = rows.at(-1)?.index ?? -1;
  useEffect(() => {
    if (hasMore && last >= runs.length - 20) onMore();
  }, [hasMore, last, runs.length, onMore]);

  const stepped = useRef(false);
  useEffect(() => {
    if (!stepped.current) return;
    stepped.current = false;
    // From now on Enter is for the run, and no longer for the button that was pressed last.
    const link = scroller.current?.querySelector<HTMLElement>("[data-current=true] a");
    link?.focus({ preventScroll: true });
  });
  const step = (by: number) => {
    stepped.current = true;
    move(by);
    virtual.scrollToIndex(Math.max(0, cursor + by), { align: "auto" });
  };
  const current = runs[cursor];
  useShortcut("j", "Next run", () => step(1));
  useShortcut("k", "Previous run", () => step(-1));
  useShortcut("x", "Choose the run", () => current && onChoose(current.runId, false));
  useShortcut("shift+x", "Choose all runs up to here", () => current && onChoose(current.runId, true));
  useShortcut("enter", "Open the run", () => {
    if (current) void navigate({ to: "/runs/$runId", params: { runId: current.runId } });
  });

  const template = `40px ${columns.map(({ width }) => width).join(" ")}`;
  return (
    <div className={classes.scroller} ref={scroller}>
      <div
        className={classes.table}
        data-narrow={narrow}
        role="table"
        aria-label="Runs"
        aria-rowcount={hasMore ? -1 : runs.length + 1}
        style={narrow ? undefined : ({ "--columns": template } as CSSProperties)}
      >
        {!narrow && <Head {...props} columns={columns} />}
        <div role="rowgroup" style={{ height: virtual.getTotalSize(), position: "relative" }}>
          {rows.map(({ index, start }) => {
            const run = runs[index]!;
            return (
              <Row
                key={run.runId}
                run={run}
                index={index}
                top={start}
                columns={columns}
                narrow={narrow}
                current={index === cursor}
                chosen={chosen.has(run.runId)}
                onChoose={(range) => {
                  place(index);
                  onChoose(run.runId, range);
                }}
              />
            );
          })}
        </div>
      </div>
    </div>
  );
}

function Head({ runs, chosen, onChooseAll, order, onOrder, columns }: Props & { columns: readonly Column[] }) {
  const all = runs.length > 0 && runs.every(({ runId }) => chosen.has(runId));
  return (
    <div role="rowgroup" className={classes.headGroup}>
      <div role="row" className={classes.head} aria-rowindex={1}>
        <span role="columnheader" className={classes.check}>
          <Checkbox
            aria-label="Choose all runs that are loaded"
            checked={all}
            indeterminate={!all && chosen.size > 0}
            onChange={() => onChooseAll(!all)}
          />
        </span>
        {columns.map((column) => (
          <HeadCell key={column.id} column={column} order={order} onOrder={onOrder} />
        ))}
      </div>
    </div>
  );
}

function HeadCell({ column, order, onOrder }: { column: Column; order: Order; onOrder: (order: Order) => void }) {
  const { title, orders, end } = column;
  const at = orders?.indexOf(order) ?? -1;
  const sort = at < 0 ? undefined : at === 0 ? "descending" : "ascending";
  return (
    <span role="columnheader" aria-sort={sort} data-end={end} className={classes.headCell}>
      {orders ? (
        <button type="button" className={classes.sort} onClick={() => onOrder(at === 0 ? orders[1] : orders[0])}>
          {title}
          {at === 0 && <IconArrowDown size={12} stroke={2} aria-hidden="true" />}
          {at === 1 && <IconArrowUp size={12} stroke={2} aria-hidden="true" />}
        </button>
      ) : (
        title
      )}
    </span>
  );
}

interface RowProps {
  run: Run;
  index: number;
  top: number;
  columns: readonly Column[];
  narrow: boolean;
  current: boolean;
  chosen: boolean;
  onChoose: (range: boolean) => void;
}

function Row({ run, index, top, columns, narrow, current, chosen, onChoose }: RowProps) {
  const common = {
    role: "row",
    "aria-rowindex": index + 2,
    "aria-selected": chosen,
    "data-current": current,
    className: narrow ? classes.card : classes.row,
    style: { transform: `translateY(${top}px)` },
  } as const;
  const check = (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the box inside is what the keyboard uses
    // biome-ignore lint/a11y/noStaticElementInteractions: it only makes the box easier to hit
    <span
      className={classes.check}
      role={narrow ? undefined : "cell"}
      onClick={(event: MouseEvent) => {
        if (event.target instanceof HTMLInputElement) onChoose(event.shiftKey);
      }}
    >
      <Checkbox aria-label={`Choose run ${shortId(run.runId)}`} checked={chosen} onChange={() => {}} />
    </span>
  );
  if (narrow) return <div {...common}>{[<NarrowCell key="cell" run={run} check={check} />]}</div>;
  return (
    <div {...common}>
      {check}
      {columns.map(({ id, cell, end }, place) => (
        <span key={id} role="cell" data-end={end} className={classes.cell}>
          {place === 0 ? (
            <Link to="/runs/$runId" params={{ runId: run.runId }} className={classes.link}>
              {cell(run)}
              <VisuallyHidden> {nameOf(run)}</VisuallyHidden>
            </Link>
          ) : (
            cell(run)
          )}
        </span>
      ))}
    </div>
  );
}

function nameOf(run: Run): string {
  return `${run.workflow} ${shortId(run.runId)}`;
}

/** A run on a narrow screen: two lines. */
function NarrowCell({ run, check }: { run: Run; check: React.ReactNode }) {
  return (
    <span role="cell" className={classes.narrow}>
      {check}
      <Link to="/runs/$runId" params={{ runId: run.runId }} className={classes.link}>
        <StatusMark status={run.status} size={16} />
        <span className={classes.lines}>
          <span className={classes.first}>{shown(run.workflow)}</span>
          <span className={classes.second}>
            <code>{shortId(run.runId)}</code> {run.stepsSucceeded}/{run.stepsTotal} steps · {shown(makerText(run))}
          </span>
        </span>
        <span className={classes.ends}>
          <Time at={run.createTime} format="short" />
          <span className={classes.second}>
            <Duration from={run.startTime} to={run.endTime} />
          </span>
        </span>
      </Link>
    </span>
  );
}
