import { ActionIcon, Tooltip, UnstyledButton, VisuallyHidden } from "@mantine/core";
import { IconChevronRight, IconDownload, IconFile } from "@tabler/icons-react";
import { useState } from "react";
import { faultOf } from "../../api/fault";
import { CopyButton } from "../../common/CopyButton";
import { clipped, shortVersion, shown } from "../../common/text";
import { useRunPage } from "../context";
import { notify } from "../notices";
import { type Artifact, artifactOf, originOf, type Place, pretty, previewOf } from "./artifacts";
import classes from "./Outputs.module.css";
import { Preview } from "./Preview";
import { fileName, SAVED_BYTES, saveArtifact } from "./save";
import { sizeText } from "./size";

const SHORT = 90;
const MOST = 100_000;

interface Props {
  values: Readonly<Record<string, string>>;
  /** Where these are the outputs: path of the step or block, empty for the run itself; undefined for inputs, which are shown where they come from. */
  of?: string | undefined;
  open?: boolean;
}

/** Named values: short ones as they are, long ones on demand, artifacts with their previews. */
export function Values({ values, of, open = false }: Props) {
  const { runId, view } = useRunPage();
  const names = Object.keys(values).sort();
  const placeOf = (name: string): Place | undefined =>
    of === undefined ? originOf(values[name] as string, view) : { runId, path: of, output: name };
  return (
    <dl className={classes.values}>
      {names.map((name) => (
        <div key={name}>
          <dt>{shown(name)}</dt>
          <dd>
            <Value name={name} json={values[name] as string} place={placeOf(name)} open={open} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

interface ValueProps {
  /** Stands before it already. */
  name: string;
  json: string;
  place: Place | undefined;
  open: boolean;
}

function Value({ name, json, place, open }: ValueProps) {
  const [opened, setOpened] = useState(open);
  const artifact = artifactOf(json);
  if (artifact !== undefined) return <ArtifactValue name={name} artifact={artifact} place={place} open={open} />;
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

function ArtifactValue({ name, artifact, place, open }: Omit<ValueProps, "json"> & { artifact: Artifact }) {
  const [opened, setOpened] = useState(open);
  const can = place !== undefined && previewOf(artifact).kind !== "none";
  return (
    <div>
      <div className={classes.artifact}>
        <UnstyledButton
          className={classes.file}
          onClick={() => can && setOpened(!opened)}
          aria-expanded={can ? opened : undefined}
          data-can={can}
        >
          {can ? <IconChevronRight size={13} data-open={opened} /> : <IconFile size={13} />}
          {can && <VisuallyHidden>Preview of {shown(name)}: </VisuallyHidden>}
          <b>{shown(artifact.type)}</b>
          {artifact.name !== "" && artifact.name !== name && <span>{shown(artifact.name)}</span>}
          <span>{sizeText(artifact.size)}</span>
          <code title={artifact.digest}>{shortVersion(artifact.digest)}</code>
        </UnstyledButton>
        <CopyButton text={artifact.digest} label="Copy the digest" />
        {place !== undefined && <SaveButton artifact={artifact} place={place} />}
      </div>
      {can && opened && <Preview artifact={artifact} place={place} />}
    </div>
  );
}

function SaveButton({ artifact, place }: { artifact: Artifact; place: Place }) {
  const [busy, setBusy] = useState(false);
  const name = fileName(artifact, place.output);
  const large = artifact.size > SAVED_BYTES;
  const save = () => {
    setBusy(true);
    saveArtifact(artifact, place)
      .catch((problem) => notify(`${name} could not be saved: ${faultOf(problem).message}`, false))
      .finally(() => setBusy(false));
  };
  const label = large ? `More than ${sizeText(SAVED_BYTES)}: kaon artifacts get saves it` : `Save ${shown(name)}`;
  return (
    <Tooltip label={label}>
      <ActionIcon
        size="sm"
        aria-label={label}
        loading={busy}
        data-disabled={large || undefined}
        onClick={() => !large && save()}
      >
        <IconDownload size={14} stroke={1.75} />
      </ActionIcon>
    </Tooltip>
  );
}
