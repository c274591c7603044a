import { UnstyledButton } from "@mantine/core";
import { IconChevronRight, IconFile } from "@tabler/icons-react";
import { useState } from "react";
import { CopyButton } from "../../common/CopyButton";
import { clipped, shown } from "../../common/text";
import { type Artifact, artifactOf, pretty, previewOf } from "./artifacts";
import classes from "./Outputs.module.css";
import { Preview } from "./Preview";
import { sizeText } from "./size";

const SHORT = 90;
const MOST = 100_000;

/** Named values: short ones as they are, long ones on demand, artifacts with their previews. */
export function Values({ values, open = false }: { values: Readonly<Record<string, string>>; open?: boolean }) {
  const names = Object.keys(values).sort();
  return (
    <dl className={classes.values}>
      {names.map((name) => (
        <div key={name}>
          <dt>{shown(name)}</dt>
          <dd>
            <Value json={values[name] as string} open={open} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Value({ json, open }: { json: string; open: boolean }) {
  const [opened, setOpened] = useState(open);
  const artifact = artifactOf(json);
  if (artifact !== undefined) return <ArtifactValue artifact={artifact} open={open} />;
  if (json.length <= SHORT) return <code className={classes.short}>{shown(json)}</code>;
  return (
    <div className={classes.long}>
      <UnstyledButton onClick={() => setOpened(!opened)} aria-expanded={opened}>
        <IconChevronRight size={13} data-open={opened} /> <code>{shown(clipped(json, SHORT))}</code>
      </UnstyledButton>
      {opened && <pre>{shown(clipped(pretty(json), MOST))}</pre>}
    </div>
  );
}

function ArtifactValue({ artifact, open }: { artifact: Artifact; open: boolean }) {
  const [opened, setOpened] = useState(open);
  const can = previewOf(artifact).kind !== "none";
  return (
    <div className={classes.artifact}>
      <UnstyledButton
        className={classes.file}
        onClick={() => can && setOpened(!opened)}
        aria-expanded={can ? opened : undefined}
        data-can={can}
      >
        {can ? <IconChevronRight size={13} data-open={opened} /> : <IconFile size={13} />}
        <b>{shown(artifact.name || artifact.type)}</b>
        <span>
          {shown(artifact.type)}, {sizeText(artifact.size)}
        </span>
        <code>{artifact.digest.slice(7, 19)}</code>
      </UnstyledButton>
      <CopyButton text={artifact.digest} label="Copy the digest" />
      {can && opened && <Preview artifact={artifact} />}
    </div>
  );
}
