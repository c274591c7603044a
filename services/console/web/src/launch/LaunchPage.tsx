import { TextInput } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useRef, useState } from "react";
import { useShortcut } from "../app/keys/shortcuts";
import { scoreOf } from "../app/palette/match";
import { ListHead } from "../common/ListHead";
import { Page } from "../common/Page";
import { EmptyState, ErrorState, LoadingState } from "../common/states";
import { Time } from "../common/Time";
import { counted, shortVersion, shown } from "../common/text";
import type { Workflow } from "../gen/kaonapi/workflow/v1/workflow_service_pb";
import { workflowsQuery } from "../runs/queries";
import classes from "./LaunchPage.module.css";

/** Chooses the workflow to launch. */
export function LaunchPage() {
  const { data, error, refetch } = useQuery(workflowsQuery);
  const [text, setText] = useState("");
  const field = useRef<HTMLInputElement>(null);
  useShortcut("/", "Find a workflow", () => field.current?.focus());
  const found = (data ?? []).filter(({ name, definition }) => scoreOf(text, name, definition?.description) > 0);
  return (
    <Page
      title="Launch"
      aside={data && counted(data.length, "workflow")}
      actions={
        <TextInput
          ref={field}
          aria-label="Find a workflow"
          placeholder="Find a workflow"
          leftSection={<IconSearch size={14} stroke={1.75} />}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
        />
      }
    >
      {error && !data ? (
        <ErrorState error={error} retry={() => void refetch()} />
      ) : !data ? (
        <LoadingState label="Loading workflows" />
      ) : data.length === 0 ? (
        <EmptyState title="There is no workflow yet">
          Register one: <code>kaon register FILE.py</code>
        </EmptyState>
      ) : found.length === 0 ? (
        <EmptyState title={`No workflow is called “${shown(text)}”`} />
      ) : (
        <>
          <ListHead
            className={classes.row}
            titles={["Workflow", "Description", "Takes", "Version", "Registered"]}
            ends={1}
          />
          <ul className={classes.list}>
            {found.map((workflow) => (
              <WorkflowRow key={workflow.name} workflow={workflow} />
            ))}
          </ul>
        </>
      )}
    </Page>
  );
}

function WorkflowRow({ workflow }: { workflow: Workflow }) {
  const { name, version, createTime, definition } = workflow;
  const parameters = definition?.parameters.length ?? 0;
  return (
    <li>
      <Link to="/launch/$workflow" params={{ workflow: name }} className={classes.row}>
        <span className={classes.name}>{shown(name)}</span>
        <span className={classes.description}>{shown(definition?.description.split("\n")[0] ?? "")}</span>
        <span className={classes.fact}>{parameters > 0 && counted(parameters, "parameter")}</span>
        <code className={classes.version}>{shortVersion(version)}</code>
        <span className={classes.time}>
          <Time at={createTime} format="ago" />
        </span>
      </Link>
    </li>
  );
}
