import "@mantine/core/styles.css";
import "../common/tokens.css";
import { MantineProvider } from "@mantine/core";
import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { theme } from "../common/theme";
import { Cells, orderCells } from "../run/cells/cells";
import { Heatmap } from "../run/cells/Heatmap";
import { RunPageContext, type RunPageState } from "../run/context";
import { Status } from "../run/model/counts";
import { foldCells, folder } from "../run/scrub/fold";
import type { Spans } from "../run/timeline/spans";
import { Chart } from "../run/timeline/TimelineView";

const COUNT = 100_000;
const FRAMES = 240;

/** Attempts of a foreach of so many cells: 64 at once, some waits, some failures. */
function generatedSpans(): Spans {
  const column = (of: (at: number) => number): Float64Array => Float64Array.from({ length: COUNT }, (_, at) => of(at));
  const noise = (at: number): number => ((at * 2_654_435_761) % 1000) / 1000;
  const started = (at: number): number => Math.floor(at / 64) * 400_000 + noise(at) * 150_000 + 1_000_000;
  return {
    count: COUNT,
    seq: COUNT * 3,
    nodes: ["items[]/score"],
    blocks: ["items"],
    node: new Uint16Array(COUNT),
    cell: Uint32Array.from({ length: COUNT }, (_, at) => at),
    ready: column((at) => Math.floor(at / 64) * 400_000 + 1),
    leased: column(started),
    end: column((at) => started(at) + 100_000 + noise(at + 7) * 140_000),
    outcome: Uint8Array.from({ length: COUNT }, (_, at) => (at % 97 === 0 ? Status.FAILED : Status.SUCCEEDED)),
    attempt: new Uint8Array(COUNT).fill(1),
    runner: new Uint16Array(COUNT),
    runners: ["runner"],
    merged: new Uint32Array(),
    readySeq: column((at) => at * 3 + 1),
    leasedSeq: column((at) => at * 3 + 2),
    endSeq: column((at) => at * 3 + 3),
    step: Uint32Array.from({ length: COUNT }, (_, at) => at),
    changes: { seq: new Uint32Array(), step: new Uint32Array(), status: new Uint8Array() },
  };
}

const spans = generatedSpans();
const fold = folder(spans);

function generatedCells(): Cells {
  const cells = new Cells();
  cells.reserve(COUNT);
  foldCells(fold, "items", COUNT * 3, cells.status);
  for (let at = 0; at < COUNT; at++) {
    cells.start[at] = spans.leased[at] as number;
    cells.end[at] = spans.end[at] as number;
  }
  return cells;
}

const cells = generatedCells();
const order = orderCells(cells, "index", false, 0);
const nobody = { go: () => undefined, live: { timeUs: 0n }, search: { step: "" } } as unknown as RunPageState;
let scrubTo: (seq: number) => void = () => undefined;

function Page() {
  const [seq, setSeq] = useState(COUNT * 3);
  const [cursor, setCursor] = useState(-1);
  const [what, setWhat] = useState(location.hash.slice(1) || "heatmap");
  useEffect(() => {
    scrubTo = setSeq;
    const change = (): void => setWhat(location.hash.slice(1));
    addEventListener("hashchange", change);
    return () => removeEventListener("hashchange", change);
  }, []);
  foldCells(fold, "items", seq, cells.status);
  const scrub = { dragged: seq, drag: () => undefined, overlay: undefined, folder: fold, timeUs: undefined };
  return (
    <RunPageContext.Provider value={nobody}>
      <div style={{ display: "flex", flexDirection: "column", width: 1200, height: 760 }}>
        {what === "timeline" ? (
          <Chart spans={spans} scrub={scrub} critical={false} />
        ) : (
          <div style={{ display: "grid", flex: 1 }}>
            <Heatmap
              cells={cells}
              version={seq}
              order={order}
              paint="status"
              lassoing={false}
              chosen={[]}
              onChoose={() => undefined}
              cursor={cursor}
              onCursor={setCursor}
              onOpen={() => undefined}
            />
          </div>
        )}
      </div>
    </RunPageContext.Provider>
  );
}

/** Does something before each frame, and returns how long each frame took, in milliseconds. */
async function measure(kind: keyof typeof ACTS): Promise<{ frames: number[] }> {
  const canvas = document.querySelector("canvas") as HTMLCanvasElement;
  const act = ACTS[kind];
  const frames: number[] = [];
  let last = await new Promise<number>((resolve) => requestAnimationFrame(resolve));
  for (let at = 0; at < FRAMES; at++) {
    act(canvas, at);
    const now = await new Promise<number>((resolve) => requestAnimationFrame(resolve));
    frames.push(now - last);
    last = now;
  }
  if (kind === "pan") pointer(canvas, "pointerup", 600, 380);
  return { frames };
}

const ACTS = {
  nothing: (): void => undefined,
  pan: (canvas: HTMLCanvasElement, at: number): void => {
    if (at === 0) pointer(canvas, "pointerdown", 600, 380);
    pointer(canvas, "pointermove", 600 + 200 * Math.sin(at / 20), 380 + 100 * Math.cos(at / 20));
  },
  zoom: (canvas: HTMLCanvasElement, at: number): void => {
    const init = { deltaY: at % 120 < 60 ? -60 : 60, clientX: 500, clientY: 300, bubbles: true, cancelable: true };
    canvas.dispatchEvent(new WheelEvent("wheel", init));
  },
  scrub: (_canvas: HTMLCanvasElement, at: number): void => scrubTo(1 + Math.floor(((at % 120) / 120) * COUNT * 3)),
};

function pointer(canvas: HTMLCanvasElement, type: string, clientX: number, clientY: number): void {
  canvas.setPointerCapture = () => undefined;
  canvas.dispatchEvent(new PointerEvent(type, { clientX, clientY, pointerId: 1, bubbles: true }));
}

Object.assign(window, { measure });
createRoot(document.getElementById("root") as HTMLElement).render(
  <MantineProvider theme={theme} forceColorScheme="dark">
    <Page />
  </MantineProvider>,
);
