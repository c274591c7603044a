import { useStore as useFlow } from "@xyflow/react";
import type { CSSProperties } from "react";
import classes from "./canvas.module.css";

const GAP = 22;

/** The ground of the drawing, which moves with it: as a pattern of SVG it would cost a browser without a GPU more than all else in a frame. */
export function Dots() {
  const [x, y, zoom] = useFlow((state) => state.transform);
  const gap = GAP * zoom;
  const style = {
    "--dot": `${1.4 * zoom}px`,
    backgroundPosition: `${x - gap / 2}px ${y - gap / 2}px`,
    backgroundSize: `${gap}px ${gap}px`,
  } as CSSProperties;
  return <div className={classes.dots} style={style} aria-hidden="true" />;
}
