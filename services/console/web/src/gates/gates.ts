import type { BlockView, Run } from "../gen/kaonapi/run/v1/run_pb";

/** An approval that somebody has to give. */
export interface Approval {
  readonly run: Run;
  readonly gate: BlockView;
}

/** Whether somebody with these roles may answer; a gate without roles is anybody's. */
export function mayAnswer(gate: BlockView, roles: readonly string[]): boolean {
  return gate.roles.length === 0 || gate.roles.some((role) => roles.includes(role));
}
