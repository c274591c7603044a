import { Button } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { lazy, Suspense, useState } from "react";
import { Commanding } from "../common/Commanding";
import classes from "./Datasets.module.css";

const RecordDialog = lazy(() => import("./RecordDialog").then(({ RecordDialog }) => ({ default: RecordDialog })));

/** Asks for an update that no step has made. Without a name it may be of any dataset. */
export function RecordButton({ name }: { name?: string }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <Commanding command="RecordDatasetUpdate">
        <Button
          variant="default"
          aria-label="Record an update"
          leftSection={<IconPlus size={14} stroke={1.75} />}
          onClick={() => setOpen(true)}
        >
          Record<span className={classes.words}>&nbsp;an update</span>
        </Button>
      </Commanding>
      <Suspense>{open && <RecordDialog name={name} onClose={() => setOpen(false)} />}</Suspense>
    </>
  );
}
