import { toJsonString } from "@bufbuild/protobuf";
import { SegmentedControl } from "@mantine/core";
import { lazy, Suspense, useMemo, useState } from "react";
import { CopyButton } from "../../common/CopyButton";
import { LoadingState } from "../../common/states";
import { counted, shortVersion, shown } from "../../common/text";
import { WorkflowDefinitionSchema } from "../../gen/kaonapi/workflow/v1/definition_pb";
import { useRunPage } from "../context";
import classes from "./CodeView.module.css";
import { writeDefinition } from "./python";

// The editor is as large as the rest of the page: only who reads code loads it.
const CodeText = lazy(() => import("./CodeText").then((module) => ({ default: module.CodeText })));

/** The definition that this run follows, as text. */
export function CodeView() {
  const { definition, view } = useRunPage();
  const version = shown(view.run?.version ?? "");
  const [form, setForm] = useState("python");
  const { text, omitted } = useMemo(() => {
    if (definition === undefined) return { text: "", omitted: 0 };
    if (form === "python") return writeDefinition(definition);
    return { text: toJsonString(WorkflowDefinitionSchema, definition, { prettySpaces: 2 }), omitted: 0 };
  }, [definition, form]);
  if (definition === undefined) return <LoadingState label="Loading the definition" />;
  return (
    <section className={classes.view} aria-label="Definition">
      <div className={classes.bar}>
        <SegmentedControl
          value={form}
          onChange={setForm}
          data={[
            { value: "python", label: "Python" },
            { value: "json", label: "JSON" },
          ]}
        />
        <span className={classes.note}>
          {form === "python"
            ? "Written from the definition: it gives the same graph, but is not the file that somebody wrote."
            : "The definition as it is stored."}{" "}
          <code title={version}>{shortVersion(version)}</code>
        </span>
        <CopyButton text={text} />
      </div>
      {omitted > 0 && (
        <p className={classes.omitted} role="status">
          {counted(omitted, "more block")} left out here. JSON has all of them.
        </p>
      )}
      <Suspense fallback={<LoadingState />}>
        <CodeText text={shown(text)} />
      </Suspense>
    </section>
  );
}
