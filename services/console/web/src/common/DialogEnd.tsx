import { Button } from "@mantine/core";
import type { ReactNode } from "react";
import { faultOf } from "../api/fault";
import classes from "./DialogEnd.module.css";
import { shown } from "./text";

/** Why the server refuses what was sent. */
export function Refusal({ error }: { error: unknown }) {
  const fault = faultOf(error);
  return (
    <p className={classes.refusal} role="alert">
      <b>{fault.title}.</b> {shown(fault.message)}
    </p>
  );
}

interface Props {
  /** Of what was sent; what stands in the dialog stays. */
  error: unknown;
  onClose: () => void;
  /** The button that sends. */
  children: ReactNode;
}

/** The end of each dialog: the server's refusal, the way out, and the button that sends. */
export function DialogEnd({ error, onClose, children }: Props) {
  return (
    <div className={classes.end}>
      {Boolean(error) && <Refusal error={error} />}
      <div className={classes.buttons}>
        <Button variant="default" onClick={onClose}>
          Leave it
        </Button>
        {children}
      </div>
    </div>
  );
}
