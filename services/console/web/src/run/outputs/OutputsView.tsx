import { StatusMark } from "../../common/StatusMark";
import { EmptyState } from "../../common/states";
import { statusLook } from "../../common/status";
import { shown } from "../../common/text";
import { Status } from "../../gen/kaonapi/run/v1/run_pb";
import { useRunPage } from "../context";
import classes from "./Outputs.module.css";
import { Values } from "./Values";

/** What the run gives, and what its steps gave on the way. */
export function OutputsView() {
  const { view, go } = useRunPage();
  const run = view.run;
  const outputs = run?.outputsJson ?? {};
  const steps = view.steps.filter((step) => Object.keys(step.outputsJson).length > 0);
  if (Object.keys(outputs).length === 0 && steps.length === 0) {
    const ended = run !== undefined && statusLook(run.status).terminal;
    return <EmptyState title={ended ? "This run gave no outputs" : "No outputs yet"} />;
  }
  return (
    <div className={classes.view}>
      <section>
        <h2>Of the run</h2>
        {Object.keys(outputs).length > 0 ? (
          <Values values={outputs} of="" open />
        ) : (
          <p className={classes.note}>
            {run?.status === Status.SUCCEEDED ? "The workflow declares none." : "Known when the run has succeeded."}
          </p>
        )}
      </section>
      {steps.length > 0 && (
        <section>
          <h2>Of its steps</h2>
          {steps.map((step) => (
            <div key={step.path} className={classes.step}>
              <button type="button" onClick={() => go({ step: step.path })}>
                <StatusMark status={step.status} size={13} /> <code>{shown(step.path)}</code>
              </button>
              <Values values={step.outputsJson} of={step.path} />
            </div>
          ))}
        </section>
      )}
    </div>
  );
}
