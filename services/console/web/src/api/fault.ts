import { Code, ConnectError } from "@connectrpc/connect";

/** What a failed call means to the person who looks. */
export interface Fault {
  kind: "signed-out" | "forbidden" | "missing" | "refused" | "away" | "broken";
  title: string;
  message: string;
}

const KINDS: ReadonlyMap<Code, readonly [Fault["kind"], string]> = new Map([
  [Code.Unauthenticated, ["signed-out", "You are signed out"]],
  [Code.PermissionDenied, ["forbidden", "You may not do this"]],
  [Code.NotFound, ["missing", "Not found"]],
  [Code.InvalidArgument, ["refused", "The server refuses the request"]],
  [Code.FailedPrecondition, ["refused", "Not possible at the moment"]],
  [Code.AlreadyExists, ["refused", "It exists already"]],
  [Code.OutOfRange, ["refused", "Out of range"]],
  [Code.ResourceExhausted, ["refused", "Too much at once"]],
  [Code.Aborted, ["refused", "Somebody else was faster"]],
  [Code.Unavailable, ["away", "The server does not answer"]],
  [Code.DeadlineExceeded, ["away", "The answer takes too long"]],
] as const);

export const AWAY: Fault = {
  kind: "away",
  title: "The console does not answer",
  message: "The connection to the console's server is lost.",
};
/** What browsers and Vite say of a part of the page that could not be loaded. */
const UNLOADED = /unable to preload|dynamically imported module|importing a module script/i;

/** Names who does not answer, as the console's server says it: "the view service at 127.0.0.1:7075 does not answer". */
const WHO = /^the ([a-z ]+) at \S+ does not answer/;

/** Returns what went wrong, for people. */
export function faultOf(error: unknown): Fault {
  if (error instanceof TypeError || (error instanceof Error && UNLOADED.test(error.message))) return AWAY;
  const { code, rawMessage } = ConnectError.from(error);
  return faultBy(code, rawMessage);
}

/** Returns what a call with this code means. */
export function faultBy(code: Code, message: string): Fault {
  const [kind, title] = KINDS.get(code) ?? ["broken", "Something went wrong"];
  // A fetch that never got an answer arrives as UNKNOWN with the browser's text.
  if (code === Code.Unknown && /fetch|network/i.test(message)) return AWAY;
  const who = code === Code.Unavailable && WHO.exec(message)?.[1];
  return { kind, title: who ? `The ${who} does not answer` : title, message };
}

/** Whether another try may help: nobody answered, rather than somebody refused. */
export function mayPass(error: unknown): boolean {
  return faultOf(error).kind === "away";
}
