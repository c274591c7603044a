import { EmptyState } from "../../common/states";
import { shown } from "../../common/text";
import type { MetricSeries } from "../../gen/kaonapi/view/v1/run_view_pb";
import { Chart } from "../charts/Chart";
import { metricText } from "../charts/format";
import classes from "./Drawer.module.css";
import { Section } from "./StepOverview";

/** What a step reported, one chart for each name. */
export function StepMetrics({ series }: { series: readonly MetricSeries[] }) {
  if (series.length === 0) {
    return <EmptyState title="No metrics">A step reports one with context.metric(name, value).</EmptyState>;
  }
  return (
    <div className={classes.content}>
      {series.map((metric) => {
        // Who counts from 0 has two numbers 1: a report without a number gets its place among all.
        const byStep =
          metric.step.every((step, at) => at === 0 || step >= (metric.step[at - 1] as bigint)) &&
          metric.step.at(-1) !== metric.step[0];
        const first = Number(metric.timeUs[0] ?? 0n);
        const xs = byStep ? metric.step.map(Number) : metric.timeUs.map((time) => (Number(time) - first) / 1e6);
        return (
          <Section key={metric.name} title={shown(metric.name)}>
            <Chart
              xs={xs}
              lines={[{ label: metric.name, values: metric.value }]}
              xLabel={byStep ? "step" : "seconds"}
              label={`${metric.name} over ${byStep ? "steps" : "time"}, now ${metricText(metric.value.at(-1))}`}
            />
            <p className={classes.dim}>
              last {metricText(metric.value.at(-1))}, lowest {metricText(Math.min(...metric.value))}, highest{" "}
              {metricText(Math.max(...metric.value))}
              {metric.thinned && ". There are more than 10,000 values: every n-th is drawn."}
            </p>
          </Section>
        );
      })}
    </div>
  );
}
