import { useComputedColorScheme } from "@mantine/core";
import { useMemo } from "react";
import { paletteOf, statusLook } from "../../common/status";
import { STATUSES, Status } from "../model/counts";
import { packColor, ramp } from "./heatmap";

/** By status, the colour of a texel. What has not begun is quieter than what waits. */
export function usePalette(): Uint32Array {
  const scheme = useComputedColorScheme();
  return useMemo(() => {
    const tones = paletteOf(document.documentElement);
    const colors = new Uint32Array(STATUSES);
    const idle = scheme === "dark" ? "#2b2f38" : "#dcdfe5";
    for (let status = 0; status < STATUSES; status++) {
      const open = status === Status.UNSPECIFIED || status === Status.PENDING;
      colors[status] = packColor(open ? idle : tones[statusLook(status).tone]);
    }
    return colors;
  }, [scheme]);
}

/** Colours from low to high that stay apart for colour-blind eyes (after cividis). */
export function useRamp(): { colors: Uint32Array; none: number; stops: readonly string[] } {
  const scheme = useComputedColorScheme();
  return useMemo(() => {
    const stops = ["#00204d", "#31446b", "#666970", "#958f78", "#cbba69", "#ffea46"];
    return { colors: ramp(stops), none: packColor(scheme === "dark" ? "#23262d" : "#e4e5ea"), stops };
  }, [scheme]);
}
