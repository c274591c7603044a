import { Button } from "@mantine/core";
import { IconCheck, IconX } from "@tabler/icons-react";
import { lazy, Suspense, useState } from "react";
import { useSession } from "../api/session";
import { Commanding } from "../common/Commanding";
import { shown } from "../common/text";
import classes from "./AnswerGate.module.css";
import { type Approval, mayAnswer } from "./gates";

const AnswerDialog = lazy(() => import("./AnswerDialog").then(({ AnswerDialog }) => ({ default: AnswerDialog })));

/** The two answers to an approval. Each asks for a comment before it is sent. */
export function AnswerGate({ approval }: { approval: Approval }) {
  const { roles } = useSession();
  const [answer, setAnswer] = useState<boolean>();
  const why = mayAnswer(approval.gate, roles)
    ? ""
    : `One of these roles may answer: ${shown(approval.gate.roles.join(", "))}`;
  return (
    <div className={classes.answers}>
      <Commanding command="AnswerGate" why={why}>
        <Button variant="default" leftSection={<IconX size={14} stroke={2} />} onClick={() => setAnswer(false)}>
          Reject
        </Button>
      </Commanding>
      <Commanding command="AnswerGate" why={why}>
        <Button variant="light" leftSection={<IconCheck size={14} stroke={2} />} onClick={() => setAnswer(true)}>
          Approve
        </Button>
      </Commanding>
      {answer !== undefined && (
        <Suspense>
          <AnswerDialog approval={approval} approved={answer} onClose={() => setAnswer(undefined)} />
        </Suspense>
      )}
    </div>
  );
}
