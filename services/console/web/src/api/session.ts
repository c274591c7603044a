import { Code, ConnectError } from "@connectrpc/connect";
import { queryOptions, useQuery } from "@tanstack/react-query";

/** Who is signed in, and at what. The server says it; the browser never chooses a tenant or a role. */
export interface Session {
  readonly tenant: string;
  readonly name: string;
  readonly roles: readonly string[];
  /** Version of the console's package, such as "0.1.0". */
  readonly version: string;
  /** Digest of the served bundle: another one asks for a reload. */
  readonly build: string;
  /** Time zone of the server, such as "Europe/Berlin". */
  readonly timeZone: string;
  /** The console shows a directory of runs and refuses commands. */
  readonly readOnly: boolean;
  /** Commands that the server would refuse, such as "CancelRun", each with the role that is lacking. */
  readonly refused: Readonly<Record<string, string>>;
}

async function fetchSession(): Promise<Session> {
  const answer = await fetch("/session", { headers: { accept: "application/json" } });
  if (answer.status === 401) throw new ConnectError(await messageOf(answer), Code.Unauthenticated);
  if (!answer.ok) throw new ConnectError(`The console's server answers ${answer.status}.`, Code.Unavailable);
  return sessionOf(await answer.json());
}

/** Returns what the server says of how to sign in. */
async function messageOf(answer: Response): Promise<string> {
  const told: unknown = await answer.json().catch(() => undefined);
  const found = typeof told === "object" && told !== null && "message" in told ? told.message : undefined;
  return typeof found === "string" ? found : "nobody is signed in";
}

/** Reads an answer of the server, and gives empty values for what it leaves out. */
export function sessionOf(answer: unknown): Session {
  const fields = (typeof answer === "object" && answer !== null ? answer : {}) as Record<string, unknown>;
  const text = (name: string) => (typeof fields[name] === "string" ? (fields[name] as string) : "");
  const roles = Array.isArray(fields.roles) ? fields.roles.filter((role) => typeof role === "string") : [];
  return {
    tenant: text("tenant"),
    name: text("name"),
    roles,
    version: text("version"),
    build: text("build"),
    timeZone: text("timeZone"),
    readOnly: fields.readOnly === true,
    refused: textsIn(fields.refused),
  };
}

function textsIn(value: unknown): Record<string, string> {
  const entries = Object.entries(typeof value === "object" && value !== null ? value : {});
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}

export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: fetchSession,
  staleTime: 60_000,
  refetchInterval: 60_000,
});

/** Who is signed in. Below the shell there is always somebody. */
export function useSession(): Session {
  return useQuery(sessionQuery).data ?? sessionOf(undefined);
}

/** The host of the issuer by which people sign in; empty where there is none, or nobody says. */
export const issuerQuery = queryOptions({
  queryKey: ["issuer"],
  queryFn: async ({ signal }): Promise<string> => {
    const answer = await fetch("/login/ways", { signal });
    const told: unknown = answer.ok ? await answer.json() : {};
    const issuer = (told as { issuer?: unknown }).issuer;
    return typeof issuer === "string" ? issuer : "";
  },
  staleTime: Number.POSITIVE_INFINITY,
  retry: false,
});

/** Where the browser goes to sign in by the issuer, and to come back to a page of this console. */
export function issuerLink(page: string): string {
  return `/login/issuer?${new URLSearchParams({ next: page })}`;
}

/** Ends the session at the server. */
export async function signOut(): Promise<void> {
  await fetch("/logout", { method: "POST" });
}

/** Begins a session with a token. Returns why the server refuses it; empty when it does not. */
export async function signIn(token: string): Promise<string> {
  const body = new URLSearchParams({ token });
  const answer = await fetch("/login", { method: "POST", body }).catch(() => undefined);
  if (!answer) return "The console's server does not answer.";
  return answer.ok ? "" : await messageOf(answer);
}
