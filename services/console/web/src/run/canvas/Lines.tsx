import { memo } from "react";
import classes from "./canvas.module.css";
import { type Direction, type Layout, pathData, STEP } from "./layout";

/** Tips end this far before the border of their node, and do not grow into it. */
const CLEAR = 3;
const TITLES = { onFailure: "on failure", finally: "finally" } as const;
/** Of the widest title of a band, with what stands between it and its rule. */
const TITLE = 62;

/** The lines of one scope, as one drawing: no line leaves its scope. */
export const Lines = memo(function Lines({ box, direction }: { box: Layout["scopes"][string]; direction: Direction }) {
  return (
    <svg className={classes.lines} width={box.width} height={box.height} aria-hidden="true">
      {box.lines.map((line) => {
        const points = line.points.map((point) => ({ x: point.x - box.x, y: point.y - box.y }));
        const target = points.pop() as { x: number; y: number };
        const end = direction === "LR" ? { x: target.x - CLEAR, y: target.y } : { x: target.x, y: target.y - CLEAR };
        points.push(end);
        return (
          <g key={`${line.source}>${line.target}`} data-look={line.look}>
            <path d={pathData(points, direction)} />
            <path
              className={classes.tip}
              d={
                direction === "LR"
                  ? `M${end.x - 6},${end.y - 4}L${end.x},${end.y}L${end.x - 6},${end.y + 4}`
                  : `M${end.x - 4},${end.y - 6}L${end.x},${end.y}L${end.x + 4},${end.y - 6}`
              }
            />
          </g>
        );
      })}
      {box.bands.map((band) => (
        <g key={band.phase} data-band={band.phase}>
          <text x={band.x - box.x} y={band.y - box.y}>
            {TITLES[band.phase]}
          </text>
          <path
            className={classes.rule}
            d={`M${band.x - box.x + TITLE},${band.y - box.y - 4}H${band.x - box.x + Math.max(box.width, STEP.width)}`}
          />
        </g>
      ))}
    </svg>
  );
});
