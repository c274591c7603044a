import { Button } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { lazy, Suspense, useState } from "react";
import { useSession } from "../api/session";
import classes from "./Datasets.module.css";
import { mayRecord } from "./outputs";

const RecordDialog = lazy(() => import("./RecordDialog").then(({ RecordDialog }) => ({ default: RecordDialog })));

/** Asks for an update that no step has made. Without a name it may be of any dataset. */
export function RecordButton({ name }: { name?: string }) {
  const { roles, readOnly } = useSession();
  const [open, setOpen] = useState(false);
  if (readOnly) return null;
  const may = mayRecord(roles);
  return (
    <span title={may ? undefined : "Who records an update needs the role operator."}>
      <Button
        variant="default"
        disabled={!may}
        aria-label="Record an update"
        leftSection={<IconPlus size={14} stroke={1.75} />}
        onClick={() => setOpen(true)}
      >
        Record<span className={classes.words}>&nbsp;an update</span>
      </Button>
      <Suspense>{open && <RecordDialog name={name} onClose={() => setOpen(false)} />}</Suspense>
    </span>
  );
}
