import { UnstyledButton } from "@mantine/core";
import { StatusMark } from "../../common/StatusMark";
import { shown } from "../../common/text";
import { formatDuration } from "../../common/time";
import { Chart } from "../charts/Chart";
import { metricText } from "../charts/format";
import { seriesOf } from "../charts/iterations";
import { useRunPage } from "../context";
import type { NodeState } from "../model/overlay";
import classes from "./Drawer.module.css";
import { Section } from "./StepOverview";

/** How the numbers of a loop went from iteration to iteration: does it converge? */
export function Convergence({ state, path }: { state: NodeState; path: string }) {
  const { go, search } = useRunPage();
  const passes = state.passes ?? [];
  const series = seriesOf(passes);
  return (
    <>
      {series.length > 0 && (
        <Section title="Convergence">
          {series.map((line) => (
            <div key={line.name}>
              <Chart
                xs={passes.map((pass) => pass.number)}
                lines={[{ label: line.name, values: line.values }]}
                xLabel="iteration"
                points
                label={`${line.name} by iteration: ${line.values.map((value) => metricText(value ?? Number.NaN)).join(", ")}`}
              />
              <p className={classes.dim}>
                {shown(line.name)}: {metricText(line.values.at(-1) ?? Number.NaN)}
              </p>
            </div>
          ))}
        </Section>
      )}
      <Section title="Iterations" count={passes.length}>
        <ul className={classes.passList}>
          {passes.map((pass) => (
            <li key={pass.number}>
              <UnstyledButton
                data-shown={pass.number === state.pass}
                aria-pressed={pass.number === state.pass}
                onClick={() => go({ passes: { ...search.passes, [path]: pass.number } }, { replace: true })}
              >
                <StatusMark status={pass.status} size={13} />
                <b>{pass.number}</b>
                <span className={classes.dim}>
                  {pass.endUs > 0n && pass.startUs > 0n
                    ? formatDuration(Number(pass.endUs - pass.startUs) / 1000)
                    : "–"}
                </span>
                <span className={classes.numbers}>
                  {series.slice(0, 3).map((line) => {
                    const value = line.values[passes.indexOf(pass)];
                    return (
                      <span key={line.name}>
                        {shown(line.name.slice(line.name.lastIndexOf("/") + 1))} {metricText(value ?? Number.NaN)}
                      </span>
                    );
                  })}
                </span>
              </UnstyledButton>
            </li>
          ))}
        </ul>
      </Section>
    </>
  );
}
