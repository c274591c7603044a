import { type BlockView, type Run, Status } from "../gen/kaonapi/run/v1/run_pb";

/** An approval that somebody has to give. */
export interface Approval {
  readonly run: Run;
  readonly gate: BlockView;
}

/** Returns the approvals of a run that wait. */
export function waitingApprovals(run: Run, blocks: readonly BlockView[]): Approval[] {
  return blocks
    .filter(({ status, gate }) => status === Status.WAITING && gate === "approval")
    .map((gate) => ({ run, gate }));
}

/** Whether somebody with these roles may answer; a gate without roles is anybody's. */
export function mayAnswer(gate: BlockView, roles: readonly string[]): boolean {
  return gate.roles.length === 0 || gate.roles.some((role) => roles.includes(role));
}
