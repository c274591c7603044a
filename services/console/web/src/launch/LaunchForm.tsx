import { Button, NumberInput, TagsInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { IconPlayerPlay } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { useRefusal } from "../api/refusals";
import { runs } from "../api/runs";
import { useShortcut } from "../app/keys/shortcuts";
import { Commanding } from "../common/Commanding";
import { shown } from "../common/text";
import type { Run } from "../gen/kaonapi/run/v1/run_pb";
import type { Workflow } from "../gen/kaonapi/workflow/v1/workflow_service_pb";
import { CopyPanel } from "./CopyPanel";
import { readLabels, useForm } from "./draft";
import { draftOf, encodeDraft, requiredFirst } from "./form";
import classes from "./LaunchForm.module.css";
import { ParameterField } from "./ParameterField";
import { checkQuery, refusalOf } from "./queries";

interface Props {
  workflow: Workflow;
  recent: readonly Run[];
  /** The run whose values the form begins with. */
  like: Run | undefined;
}

/** Submits a run of a workflow. What is typed stays until it was sent, even when the session ends meanwhile. */
export function LaunchForm({ workflow, recent, like }: Props) {
  const may = useRefusal("SubmitRun") === "";
  const parameters = requiredFirst(workflow.definition?.parameters ?? []);
  const { form, change, clear } = useForm(workflow.name, like && formLike(workflow, like));
  const { params, problems } = encodeDraft(parameters, form.values);
  const { labels, problem: labelProblem } = readLabels(form.labels);
  const submission = {
    workflow: workflow.name,
    version: workflow.version,
    paramsJson: params,
    labels,
    priority: form.priority,
  };
  const complete = Object.keys(problems).length === 0 && labelProblem === undefined;
  const [settled] = useDebouncedValue(submission, 350);
  const check = useQuery(checkQuery(settled, complete && may));
  const navigate = useNavigate();
  const submit = useMutation({
    mutationFn: () => runs.submitRun({ ...submission, idempotencyKey: form.key }),
    onSuccess: ({ run }) => {
      clear();
      void navigate({ to: "/runs/$runId", params: { runId: run!.runId } });
    },
  });
  const [asked, setAsked] = useState(false);
  const send = (event?: FormEvent) => {
    event?.preventDefault();
    setAsked(true);
    if (may && complete && !submit.isPending) submit.mutate();
  };
  useShortcut("mod+enter", "Launch", send);

  const refused = submit.error ? refusalOf(submit.error) : (check.data ?? {});
  // What is missing is no mistake before somebody tried to send it.
  const problemOf = (name: string) =>
    (form.values[name] === undefined && !asked ? undefined : problems[name]) ?? refused[name];
  return (
    <form className={classes.form} onSubmit={send}>
      <div className={classes.fields}>
        {parameters.length === 0 && <p className={classes.none}>This workflow has no parameters.</p>}
        {parameters.map((parameter) => (
          <ParameterField
            key={parameter.name}
            parameter={parameter}
            value={form.values[parameter.name]}
            problem={problemOf(parameter.name)}
            recent={recent}
            onChange={(value) => change({ values: withValue(form.values, parameter.name, value) })}
          />
        ))}
        <div className={classes.more}>
          <TagsInput
            label="Labels"
            description="To find the run again by; each as name=value, then Enter."
            placeholder={form.labels.length === 0 ? "team=search" : undefined}
            size="xs"
            value={[...form.labels]}
            onChange={(texts) => change({ labels: texts })}
            error={labelProblem}
          />
          <NumberInput
            label="Priority"
            description="Higher starts first."
            value={form.priority}
            allowDecimal={false}
            onChange={(value) => change({ priority: Number(value) || 0 })}
          />
        </div>
      </div>
      <aside className={classes.side}>
        {refused[""] && (
          <p className={classes.refused} role="alert">
            {shown(refused[""])}
          </p>
        )}
        <Commanding command="SubmitRun">
          <Button
            type="submit"
            size="sm"
            fullWidth
            loading={submit.isPending}
            leftSection={<IconPlayerPlay size={15} />}
          >
            Launch {workflow.name}
          </Button>
        </Commanding>
        <CopyPanel launch={{ workflow: workflow.name, params, labels, priority: form.priority }} />
      </aside>
    </form>
  );
}

function formLike(workflow: Workflow, run: Run) {
  return {
    values: draftOf(workflow.definition?.parameters ?? [], run.paramsJson),
    labels: Object.entries(run.labels).map(([name, value]) => `${name}=${value}`),
    priority: run.priority,
  };
}

function withValue(values: Readonly<Record<string, string>>, name: string, value: string | undefined) {
  const { [name]: _, ...others } = values;
  return value === undefined ? others : { ...others, [name]: value };
}
