/** What the server would refuse to whoever is signed in: told before a command is offered, not after it was sent. */

import type { DatasetService } from "../gen/kaonapi/dataset/v1/dataset_pb";
import type { RunService } from "../gen/kaonapi/run/v1/run_service_pb";
import { type Session, useSession } from "./session";

type MethodOf<Service extends { method: object }> = Capitalize<keyof Service["method"] & string>;

/** A method that changes something, such as "CancelRun". */
export type Command = MethodOf<typeof RunService> | MethodOf<typeof DatasetService>;

/** Returns why somebody may not give a command; empty when nothing is known against it. */
export function refusalOf({ readOnly, refused }: Pick<Session, "readOnly" | "refused">, command: Command): string {
  if (readOnly) return "This console only shows: nobody is there to carry commands out.";
  const role = refused[command];
  return role === undefined ? "" : `Needs the role ${role}, which you do not have.`;
}

/** Returns what `refusalOf` does for whoever is signed in. */
export function useRefusal(command: Command): string {
  return refusalOf(useSession(), command);
}
