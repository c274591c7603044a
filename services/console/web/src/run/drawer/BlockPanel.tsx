import { Button, Textarea } from "@mantine/core";
import { IconCheck, IconGridDots, IconSitemap, IconX } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { sessionQuery } from "../../api/session";
import { Commanding } from "../../common/Commanding";
import { Refusal } from "../../common/DialogEnd";
import { StatusLabel } from "../../common/StatusMark";
import { Time } from "../../common/Time";
import { clipped, formatCount, shown } from "../../common/text";
import { GateFields, payloadOf, useGateFields } from "../../gates/GateFields";
import { type BlockView, Status } from "../../gen/kaonapi/run/v1/run_pb";
import { commands, outcomeText } from "../commands";
import { useRunPage } from "../context";
import { hasEnded } from "../model/counts";
import type { GraphNode } from "../model/graph";
import { chosenCell, openedName } from "../model/inner";
import type { NodeState } from "../model/overlay";
import { notify } from "../notices";
import { Values } from "../outputs/Values";
import { StatusBar, StatusLegend } from "../StatusBar";
import { Convergence } from "./Convergence";
import classes from "./Drawer.module.css";
import { BoundFacts, ErrorBox, Fact, Section, StepActions } from "./StepOverview";
import { useBlock } from "./useStep";
import { Why } from "./Why";

/** Everything about one block. */
export function BlockPanel({ path, node }: { path: string; node: GraphNode }) {
  const { overlay, seq, go } = useRunPage();
  const block = useBlock(path);
  const state = overlay.get(node.name);
  const status = block?.status ?? Status.PENDING;
  return (
    <>
      <div className={classes.status}>
        <StatusLabel status={status} />
        {seq === undefined && block && <StepActions step={block} />}
      </div>
      <div className={classes.content}>
        {block?.error && (
          <ErrorBox type={block.error.type} message={block.error.message} details={block.error.details} />
        )}
        {block?.kind === "gate" && block.status === Status.WAITING && seq === undefined && <Gate block={block} />}
        {!hasEnded(status) && status !== Status.RUNNING && status !== Status.WAITING && seq === undefined && (
          <Why path={path} />
        )}
        {node.kind === "forEach" && state?.cells && (
          <Section title="Cells" count={block?.total}>
            <StatusBar counts={state.cells} height={8} />
            <StatusLegend counts={state.cells} />
            <Button
              variant="light"
              leftSection={<IconGridDots size={14} />}
              onClick={() => go({ cells: path, step: "", tab: "graph" })}
            >
              Heatmap and table
            </Button>
          </Section>
        )}
        {node.kind === "repeat" && state && <Convergence state={state} path={path} />}
        {block?.childRunId && (
          <Section title="Its run">
            <Link to="/runs/$runId" params={{ runId: block.childRunId }} className={classes.link}>
              Open run <code>{block.childRunId}</code>
            </Link>
            {chosenCell(path) !== undefined && <OpenInside path={path} />}
          </Section>
        )}
        {block?.memoRunId && (
          <Section title="Reused">
            <Link to="/runs/$runId" params={{ runId: block.memoRunId }} className={classes.link}>
              Outputs of <code>{block.memoPath}</code> in run <code>{block.memoRunId}</code>
            </Link>
          </Section>
        )}
        {block && Object.keys(block.outputsJson).length > 0 && (
          <Section title="Outputs">
            <Values values={block.outputsJson} of={block.path} />
          </Section>
        )}
        <BlockFacts block={block} node={node} state={state} />
      </div>
    </>
  );
}

/** Opens the sub-workflow of this cell in the drawing, in place of that of another cell. */
function OpenInside({ path }: { path: string }) {
  const { search, go } = useRunPage();
  const others = search.opened.filter((opened) => openedName(opened) !== openedName(path));
  return (
    <Button
      variant="light"
      leftSection={<IconSitemap size={14} />}
      onClick={() => go({ opened: [...others, path], cells: "", tab: "graph" })}
    >
      Open in the drawing
    </Button>
  );
}

function BlockFacts({
  block,
  node,
  state,
}: {
  block: BlockView | undefined;
  node: GraphNode;
  state: NodeState | undefined;
}) {
  return (
    <Section title="Definition">
      <dl className={classes.facts}>
        {node.detail && <Fact name={node.kind === "branch" ? "Ways" : "Does"}>{shown(clipped(node.detail, 400))}</Fact>}
        {node.trigger && <Fact name="Starts when">{node.trigger}</Fact>}
        {node.phase !== "body" && <Fact name="Hook">{node.phase === "finally" ? "finally" : "on failure"}</Fact>}
        {block && block.total > 0 && (
          <Fact name={node.kind === "repeat" ? "Iterations" : "Ended"}>
            {formatCount(node.kind === "repeat" ? (state?.passes?.length ?? 0) : block.finished)} of{" "}
            {node.kind === "repeat" && "at most "}
            {formatCount(block.total)}
          </Fact>
        )}
        {block && <BoundFacts values={block.boundJson} />}
        {block?.dueTime && (
          <Fact name={node.kind === "gate" ? "Time is over" : "Next iteration"}>
            <Time at={block.dueTime} />
          </Fact>
        )}
      </dl>
    </Section>
  );
}

/** Asks for the answer that a gate waits for. */
function Gate({ block }: { block: BlockView }) {
  const { runId } = useRunPage();
  const [text, setText] = useState("");
  const form = useGateFields(block.fields);
  const { data: session } = useQuery(sessionQuery);
  const may =
    block.roles.length === 0 || session === undefined || block.roles.some((role) => session.roles.includes(role));
  const answer = useMutation({
    mutationFn: (approved: boolean) => commands.answer(runId, block.path, approved, text, approved ? form.values : {}),
    onSuccess: ({ run }, approved) => notify(outcomeText(approved ? "Approved" : "Rejected", run)),
  });
  const typed = text.trim() === "" ? "null" : text;
  const payload = block.fields.length > 0 ? payloadOf(form.values) : typed;
  const signal = useMutation({
    mutationFn: () => commands.signal(runId, block.signal, payload),
    onSuccess: ({ run }) => notify(outcomeText(`Sent the signal ${block.signal}`, run)),
  });
  if (block.gate === "signal") {
    return (
      <Section title={`Waits for the signal ${shown(block.signal)}`}>
        {block.whereCel !== "" && <p>Only signals where {shown(block.whereCel)}</p>}
        <GateFields fields={block.fields} form={form} />
        {block.fields.length === 0 && (
          <Textarea
            label="Payload (JSON)"
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
            autosize
            minRows={2}
          />
        )}
        {signal.error && <Refusal error={signal.error} />}
        <div className={classes.actions}>
          <Commanding command="SignalRun">
            <Button loading={signal.isPending} disabled={!form.complete} onClick={() => signal.mutate()}>
              Send the signal
            </Button>
          </Commanding>
        </div>
      </Section>
    );
  }
  if (block.gate === "run")
    return (
      <Section title="Waits for a run">
        <p className={classes.question}>{shown(clipped(block.message, 300))}</p>
      </Section>
    );
  if (block.gate !== "approval") return null;
  return (
    <Section title={may ? "Waits for your answer" : "Waits for an answer"}>
      <p className={classes.question}>{shown(clipped(block.message || "Approve?", 2_000))}</p>
      <p className={classes.dim}>
        {block.roles.length > 0 ? `Who may answer: ${block.roles.map(shown).join(", ")}` : "Anybody may answer."}
      </p>
      {may ? (
        <>
          <GateFields fields={block.fields} form={form} />
          <Textarea
            label="Comment"
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
            autosize
            minRows={2}
          />
          {answer.error && <Refusal error={answer.error} />}
          <div className={classes.actions}>
            <Commanding command="AnswerGate">
              <Button
                leftSection={<IconCheck size={14} />}
                loading={answer.isPending}
                disabled={!form.complete}
                onClick={() => answer.mutate(true)}
              >
                Approve
              </Button>
            </Commanding>
            <Commanding command="AnswerGate">
              <Button
                variant="default"
                leftSection={<IconX size={14} />}
                loading={answer.isPending}
                onClick={() => answer.mutate(false)}
              >
                Reject
              </Button>
            </Commanding>
          </div>
        </>
      ) : (
        <p className={classes.dim}>You have none of these roles.</p>
      )}
    </Section>
  );
}
