import { ActionIcon, Button, Select, Tooltip } from "@mantine/core";
import { IconArrowLeft, IconLasso, IconSortAscending, IconSortDescending } from "@tabler/icons-react";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { faultOf } from "../../api/fault";
import { EmptyState, ErrorState, LoadingState } from "../../common/states";
import { statusLook } from "../../common/status";
import { counted, shown } from "../../common/text";
import { formatDuration } from "../../common/time";
import { metricText } from "../charts/format";
import { views } from "../clients";
import { useRunPage } from "../context";
import { WholeRun } from "../drawer/WholeRun";
import { useCells } from "../live/useRun";
import { nodeName, scopeOf } from "../model/paths";
import { notify } from "../notices";
import { StatusLegend } from "../StatusBar";
import { foldCells } from "../scrub/fold";
import type { Scrub } from "../scrub/useScrub";
import classes from "./Cells.module.css";
import { CellTable } from "./CellTable";
import { type CellSort, Cells, orderCells, valuesBy } from "./cells";
import { Heatmap, type Paint } from "./Heatmap";
import { Selection } from "./Selection";
import { useRamp } from "./usePalette";

/** The cells of one foreach: a heatmap, and a table beside it. */
export function CellsView({ scrub }: { scrub: Scrub }) {
  const { search, go, runId, graph, seq, view } = useRunPage();
  const ended = view.run !== undefined && statusLook(view.run.status).terminal;
  const block = search.cells;
  const [node, setNode] = useState("");
  const [metric, setMetric] = useState("");
  const [paint, setPaint] = useState<Paint>("status");
  const [sort, setSort] = useState<CellSort>("index");
  const [descending, setDescending] = useState(false);
  const [lassoing, setLassoing] = useState(false);
  const [chosen, setChosen] = useState<readonly number[]>([]);
  const [cursor, setCursor] = useState(-1);
  const live = useCells(runId, block, node, metric, seq === undefined);
  const past = usePastCells(runId, block, node, metric, seq);
  const known = seq === undefined ? live.cells : past.data;
  const folded = useFolded(scrub, block, known);
  const cells = folded ?? known;
  const version = folded ? folded.version : seq === undefined ? live.version : 0;
  const names = useQuery({
    queryKey: ["cell-metrics", runId, block],
    queryFn: ({ signal }) => views.getCells({ runId, block, count: 1n }, { signal }),
    refetchInterval: seq === undefined ? 5_000 : false,
  });
  const inner =
    graph?.byName.get(nodeName(block))?.scopes.flatMap((scope) => scope.nodes.map((each) => each.name)) ?? [];
  const nowUs = useRef(0);
  nowUs.current = Date.now() * 1000;
  // A foreach that goes on is not sorted with every cell that ends: a map that jumps cannot be read.
  const epoch = sort === "index" ? 0 : Math.floor(version / 10);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the cells are one object whose content changes.
  const order = useMemo(
    () => (cells ? orderCells(cells, sort, descending, nowUs.current) : new Uint32Array(0)),
    [cells, cells?.total, sort, descending, epoch],
  );
  const choose = useCallback((indexes: readonly number[]) => {
    setChosen(indexes);
    setLassoing(false);
  }, []);
  const open = async () => {
    const moment = { at: { case: "seq", value: BigInt(seq ?? 0) } } as const;
    const asked = views.listCells({ runId, block, node, indexes: [BigInt(cursor)], pageSize: 1, moment });
    const cell = await asked.then(
      ({ cells: [first] }) => first,
      (problem: unknown) => {
        notify(`The cell could not be opened: ${faultOf(problem).message}`, false);
        return undefined;
      },
    );
    if (cell && cell.path !== "") go({ step: cell.nodePath || cell.path });
  };
  const error = seq === undefined ? live.error : past.error;
  if (error && !cells?.total) return <ErrorState error={error} ways={<WholeRun />} />;
  if (!cells) return <LoadingState label="Loading the cells" />;
  const counts = cells.counts();
  return (
    <section className={classes.view} aria-label={`Cells of ${block}`}>
      <div className={classes.bar}>
        <Tooltip label="Back to the graph">
          <ActionIcon aria-label="Back to the graph" onClick={() => go({ cells: "" })}>
            <IconArrowLeft size={15} />
          </ActionIcon>
        </Tooltip>
        <h2>
          {scopeOf(block) && <span>{shown(scopeOf(block))} / </span>}
          {shown(nodeName(block))}
        </h2>
        <Picker
          label="Of"
          value={node}
          onChange={setNode}
          options={[["", "whole cells"], ...inner.map((name) => [name, name] as const)]}
        />
        <Picker
          label="Colour"
          value={paint === "metric" ? `metric:${metric}` : paint}
          onChange={(value) => {
            if (value.startsWith("metric:")) {
              setMetric(value.slice(7));
              setPaint("metric");
            } else setPaint(value as Paint);
          }}
          options={[
            ["status", "status"],
            ["duration", "duration"],
            ...(names.data?.metrics ?? []).map((name) => [`metric:${name}`, name] as const),
          ]}
        />
        <Picker
          label="Order"
          value={sort}
          onChange={(value) => setSort(value as CellSort)}
          options={[
            ["index", "index"],
            ["duration", "duration"],
            ["status", "status"],
            ...(metric ? [["metric", metric] as const] : []),
          ]}
        />
        <Tooltip label={descending ? "Largest first" : "Smallest first"}>
          <ActionIcon
            aria-label={descending ? "Largest first" : "Smallest first"}
            onClick={() => setDescending(!descending)}
          >
            {descending ? <IconSortDescending size={15} /> : <IconSortAscending size={15} />}
          </ActionIcon>
        </Tooltip>
        <Button
          variant={lassoing ? "light" : "default"}
          leftSection={<IconLasso size={14} />}
          aria-pressed={lassoing}
          onClick={() => setLassoing(!lassoing)}
        >
          Lasso
        </Button>
      </div>
      {cells.total === 0 ? (
        live.version > 0 || seq !== undefined ? (
          <EmptyState title={ended ? "This foreach had no cells" : "This foreach has no cells yet"}>
            {ended ? "The run ended before it began, or it had no items." : "Its items are known when it begins."}
          </EmptyState>
        ) : (
          <LoadingState label="Loading the cells" />
        )
      ) : (
        <div className={classes.body}>
          <div className={classes.map}>
            <Heatmap
              cells={cells}
              version={version}
              order={order}
              paint={paint}
              lassoing={lassoing}
              chosen={chosen}
              onChoose={choose}
              cursor={cursor}
              onCursor={setCursor}
              onOpen={() => void open()}
            />
            <footer className={classes.foot}>
              {paint === "status" ? (
                <StatusLegend counts={counts} />
              ) : (
                <RampLegend cells={cells} paint={paint} version={version} />
              )}
              <span>{counted(cells.total, "cell")}. Scroll to zoom, drag to move, arrows to walk.</span>
            </footer>
            {chosen.length > 0 && <Selection block={block} indexes={chosen} clear={() => setChosen([])} />}
          </div>
          <CellTable
            block={block}
            node={node}
            metric={metric}
            sort={sort}
            descending={descending}
            cursor={cursor}
            onCursor={setCursor}
          />
        </div>
      )}
    </section>
  );
}

interface PickerProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  options: readonly (readonly [string, string])[];
}

function Picker({ label, value, onChange, options }: PickerProps) {
  const data = options.map(([key, name]) => ({ value: key || "all", label: name }));
  return (
    <Select
      className={classes.picker}
      aria-label={label}
      leftSection={<span className={classes.pickerLabel}>{label}</span>}
      leftSectionWidth={52}
      data={data}
      value={value || "all"}
      onChange={(chosen) => onChange(chosen === "all" || chosen === null ? "" : chosen)}
      allowDeselect={false}
      comboboxProps={{ shadow: "md" }}
    />
  );
}

function RampLegend({ cells, paint, version }: { cells: Cells; paint: Paint; version: number }) {
  const { stops } = useRamp();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the cells are one object whose version changes.
  const range = useMemo(() => {
    const values = valuesBy(cells, paint === "metric" ? "metric" : "duration", Date.now() * 1000)
      .filter(Number.isFinite)
      .sort();
    return values.length === 0
      ? undefined
      : [values[Math.round((values.length - 1) * 0.02)], values[Math.round((values.length - 1) * 0.98)]];
  }, [cells, paint, version]);
  if (range === undefined) return <span>No values yet</span>;
  const text = (value: number | undefined): string =>
    paint === "metric" ? metricText(value) : formatDuration((value ?? 0) / 1000);
  return (
    <span className={classes.ramp}>
      {text(range[0])}
      <i style={{ background: `linear-gradient(to right, ${stops.join(",")})` }} />
      {text(range[1])}
    </span>
  );
}

function usePastCells(runId: string, block: string, node: string, metric: string, seq: number | undefined) {
  return useQuery({
    queryKey: ["cells-at", runId, block, node, metric, seq],
    queryFn: async ({ signal }) => {
      const answer = await views.getCells(
        { runId, block, node, metric, moment: { at: { case: "seq", value: BigInt(seq ?? 0) } } },
        { signal },
      );
      const cells = new Cells();
      if (answer.columns) cells.apply(answer.columns, Number(answer.total), Number(answer.first));
      return cells;
    },
    enabled: seq !== undefined,
    structuralSharing: false,
    placeholderData: keepPreviousData,
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** While somebody drags the scrubber: the cells as the page folds them. */
function useFolded(scrub: Scrub, block: string, known: Cells | undefined): Cells | undefined {
  const folded = useRef<Cells>(undefined);
  const { dragged, folder } = scrub;
  const total = known?.total ?? 0;
  const result = useMemo(() => {
    if (dragged === undefined || folder === undefined || total === 0) return undefined;
    const cells = folded.current ?? new Cells();
    if (cells.total !== total) cells.reserve(total);
    foldCells(folder, block, dragged, cells.status);
    cells.version++;
    folded.current = cells;
    return cells;
  }, [dragged, folder, block, total]);
  useEffect(() => {
    if (dragged === undefined) folded.current = undefined;
  }, [dragged]);
  return result;
}
