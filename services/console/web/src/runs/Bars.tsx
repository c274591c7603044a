import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef } from "react";
import { paletteOf } from "../common/status";
import { type Bar, orderedSpan, piecesOf, type Span } from "./density";

interface Props {
  bars: readonly Bar[];
  width: number;
  height: number;
  /** The bar under the cursor. */
  at?: number;
  /** The bars that are being chosen. */
  span?: Span;
}

/** Draws bars of runs over time. What they say must stand beside it as text. */
export function Bars({ bars, width, height, at, span }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const scheme = useComputedColorScheme("dark");
  // biome-ignore lint/correctness/useExhaustiveDependencies: another scheme has another palette
  useEffect(() => {
    if (canvas.current) draw(canvas.current, { bars, width, height, at, span });
  }, [bars, width, height, at, span, scheme]);
  return <canvas ref={canvas} style={{ display: "block", width, height }} />;
}

function draw(canvas: HTMLCanvasElement, { bars, width, height, at, span }: Props): void {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  if (!context) return;
  context.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const palette = paletteOf(canvas);
  const step = width / Math.max(1, bars.length);
  const gap = step > 4 ? 1.5 : step > 2 ? 0.5 : 0;
  const band = span ? orderedSpan(span) : at === undefined ? undefined : ([at, at] as const);
  if (band) {
    context.fillStyle = style.getPropertyValue(span ? "--accent-ground" : "--active");
    context.fillRect(band[0] * step, 0, (band[1] - band[0] + 1) * step, height);
  }
  const highest = Math.max(1, ...bars.map(({ total }) => total));
  for (const [index, bar] of bars.entries()) {
    for (const piece of piecesOf(bar, highest, height - 4)) {
      context.fillStyle = palette[piece.tone];
      context.fillRect(index * step + gap / 2, piece.y + 4, Math.max(1, step - gap), piece.height);
    }
  }
}
