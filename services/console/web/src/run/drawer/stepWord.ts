import { Status } from "../../gen/kaonapi/run/v1/run_pb";

/** What says more of a step than its status: between two attempts it has its first one again, and is not as if it had never begun. */
export function stepWord(status: Status, attempts: number): string | undefined {
  return status === Status.PENDING && attempts > 0 ? "Waits for its next attempt" : undefined;
}
