import { Button } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { IconDownload, IconPlayerPlay } from "@tabler/icons-react";
import { Link, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useCallback, useMemo, useRef, useState } from "react";
import { faultOf } from "../api/fault";
import { useRefusal } from "../api/refusals";
import { useShortcut } from "../app/keys/shortcuts";
import { runsRoute } from "../app/router";
import { Hint } from "../common/Hint";
import { LinkButton } from "../common/LinkButton";
import { Page } from "../common/Page";
import { EmptyState, ErrorState, LoadingState } from "../common/states";
import { statusOf } from "../common/status";
import { counted, formatCount } from "../common/text";
import { choose } from "./bulk";
import { BAR, DensityAxis } from "./DensityAxis";
import { barsOf } from "./density";
import { FilterBar } from "./FilterBar";
import { isFiltered } from "./filter";
import classes from "./RunsPage.module.css";
import { RunsTable } from "./RunsTable";
import { MOST_EXPORTED, type RunsSearch } from "./search";
import { useCounts, useRuns } from "./useRuns";

// Comes when a run is chosen.
const BulkBar = lazy(() => import("./BulkBar").then(({ BulkBar }) => ({ default: BulkBar })));

/** So many runs can be chosen at once. */
const MOST_CHOSEN = 1_000;

/** Lists runs under an axis of time. The address holds every filter. */
export function RunsPage() {
  const search = runsRoute.useSearch();
  const navigate = useNavigate();
  const narrow = useMediaQuery("(max-width: 760px)") ?? false;
  const launches = useRefusal("SubmitRun") === "";
  const [width, setWidth] = useState(0);
  const buckets = Math.max(0, Math.floor(width / BAR));
  const list = useRuns(search);
  const counts = useCounts(search, buckets, list.changed);
  const { chosen, onChoose, onChooseAll, onChooseThese, clear } = useChoice(list.runs.map(({ runId }) => runId));

  const onSearch = useCallback(
    (next: RunsSearch, replace = false) => void navigate({ to: "/runs", search: next, replace }),
    [navigate],
  );
  const wanted = useMemo(
    () => (search.status ? new Set(search.status.flatMap((name) => statusOf(name) ?? [])) : undefined),
    [search.status],
  );
  const bars = useMemo(() => (counts.data ? barsOf(counts.data, buckets, wanted) : []), [counts.data, buckets, wanted]);
  const total = counts.data?.totals
    .filter(({ status }) => !wanted || wanted.has(status))
    .reduce((sum, { count }) => sum + count, 0n);
  const [filling, setFilling] = useState(false);
  const chooseMore = async () => {
    setFilling(true);
    onChooseThese(await list.fill(MOST_CHOSEN));
    setFilling(false);
  };
  useShortcut("escape", "Clear the choice", clear);

  return (
    <Page
      title="Runs"
      aside={total !== undefined && <span className={classes.total}>{formatCount(total)}</span>}
      actions={
        <>
          <Export search={search} total={total} />
          {launches && (
            <LinkButton to="/launch" leftSection={<IconPlayerPlay size={14} stroke={1.75} />}>
              Launch
            </LinkButton>
          )}
        </>
      }
    >
      <div className={classes.page}>
        <FilterBar search={search} totals={counts.data?.totals} onSearch={onSearch} />
        <DensityAxis
          bars={bars}
          since={search.since}
          brushed={search.until !== undefined}
          onWidth={setWidth}
          onRange={(since, until) => onSearch({ ...search, since, until })}
        />
        {list.error ? (
          <ErrorState error={list.error} retry={list.retry} />
        ) : list.loading ? (
          <LoadingState label="Loading runs" />
        ) : list.runs.length === 0 && !list.hasMore ? (
          <NoRuns search={search} onClear={() => onSearch({})} />
        ) : (
          <RunsTable
            runs={list.runs}
            hasMore={list.hasMore}
            onMore={list.more}
            narrow={narrow}
            order={search.order ?? "newest"}
            onOrder={(order) => onSearch({ ...search, order })}
            chosen={chosen}
            onChoose={onChoose}
            onChooseAll={onChooseAll}
          />
        )}
        <Suspense>
          {chosen.size > 0 && (
            <BulkBar
              chosen={list.runs.filter(({ runId }) => chosen.has(runId))}
              more={total === undefined ? undefined : Math.min(Number(total), MOST_CHOSEN) - chosen.size}
              onMore={filling ? undefined : () => void chooseMore()}
              onClear={clear}
            />
          )}
        </Suspense>
      </div>
    </Page>
  );
}

/** Which runs are chosen. A run that has left the list is chosen no longer. */
function useChoice(ids: readonly string[]) {
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const last = useRef<string>(undefined);
  const newest = useRef(ids);
  newest.current = ids;
  const onChoose = useCallback((runId: string, range: boolean) => {
    const from = range ? last.current : undefined;
    last.current = runId;
    setChosen((old) => choose(old, newest.current, runId, from));
  }, []);
  const onChooseAll = useCallback(
    (on: boolean) => setChosen(new Set(on ? newest.current.slice(0, MOST_CHOSEN) : [])),
    [],
  );
  const onChooseThese = useCallback((these: readonly string[]) => setChosen(new Set(these)), []);
  const clear = useCallback(() => setChosen(new Set()), []);
  return { chosen, onChoose, onChooseAll, onChooseThese, clear };
}

function NoRuns({ search, onClear }: { search: RunsSearch; onClear: () => void }) {
  if (isFiltered(search)) {
    return (
      <EmptyState title="No run matches the filters">
        <Button variant="default" onClick={onClear}>
          Clear the filters
        </Button>
      </EmptyState>
    );
  }
  return (
    <EmptyState title="There is no run yet">
      <Link to="/launch">Launch a workflow</Link>, or submit one: <code>kaon submit FILE.py</code>
    </EmptyState>
  );
}

/** Writes all runs that the filters select into a file. */
function Export({ search, total }: { search: RunsSearch; total: bigint | undefined }) {
  const [count, setCount] = useState<number>();
  const [problem, setProblem] = useState<string>();
  const start = async () => {
    setProblem(undefined);
    setCount(0);
    try {
      // Most who read the list write no file.
      const { exportRuns } = await import("./export");
      await exportRuns(search, setCount);
    } catch (error) {
      setProblem(faultOf(error).message);
    }
    setCount(undefined);
  };
  const many = total !== undefined && total > MOST_EXPORTED;
  const label =
    problem ?? (many ? `The first ${formatCount(MOST_EXPORTED)} runs as a CSV file` : "All these runs as a CSV file");
  return (
    <Hint label={label}>
      <Button
        variant="default"
        leftSection={<IconDownload size={14} stroke={1.75} />}
        disabled={count !== undefined || total === 0n}
        onClick={() => void start()}
        className={classes.export}
      >
        {count === undefined ? "CSV" : counted(count, "run")}
      </Button>
    </Hint>
  );
}
