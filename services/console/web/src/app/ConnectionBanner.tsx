import { Button } from "@mantine/core";
import { IconLock, IconRefresh } from "@tabler/icons-react";
import { type Query, type QueryClient, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { noteGood, noteLost, onReturn, useConnection } from "../api/connection";
import { retryDelay } from "../api/delay";
import { wakeLive } from "../api/live/live";
import { sessionQuery } from "../api/session";
import { StaleBanner } from "../common/states";
import classes from "./ConnectionBanner.module.css";

/** Says above every page when it shows old data, why, and what to do: nothing that stands in a form is lost meanwhile. */
export function ConnectionBanner({ build }: { build: string }) {
  const { state, goodAt, reason } = useConnection();
  const client = useQueryClient();
  useEffect(() => onReturn(() => void client.refetchQueries({ type: "active" })), [client]);
  useEffect(() => {
    const gone = () => noteLost("call", "This browser is offline");
    window.addEventListener("offline", gone);
    return () => window.removeEventListener("offline", gone);
  }, []);
  useEffect(() => (state === "lost" ? seek(client) : undefined), [state, client]);
  const again = () => {
    wakeLive();
    void client.refetchQueries({ type: "active" });
  };
  if (state === "lost") return <StaleBanner since={goodAt} reason={reason} retry={again} />;
  if (state === "signed-out") return <SignedOutBanner again={again} />;
  return <NewBuildBanner build={build} />;
}

/** Asks again for what nobody answered, until the returned function is called: then the page needs no hand to come back. */
function seek(client: QueryClient): () => void {
  let timer: ReturnType<typeof setTimeout>;
  let failures = 0;
  let stopped = false;
  const later = () => {
    if (stopped) return;
    timer = setTimeout(() => void look().finally(later), retryDelay(failures));
    failures += 1;
  };
  const look = async () => {
    const failed = { type: "active", predicate: ({ state }: Query) => state.status === "error" } as const;
    if (client.getQueryCache().findAll(failed).length > 0) await client.refetchQueries(failed);
    else if (await client.fetchQuery({ ...sessionQuery, staleTime: 0, retry: false }).catch(() => undefined))
      noteGood("call");
  };
  later();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

function SignedOutBanner({ again }: { again: () => void }) {
  return (
    <div className={classes.banner} role="alert">
      <IconLock size={14} stroke={1.75} aria-hidden="true" />
      <span>
        Your session has ended. What you entered stays here: open a new link from <code>kaon ui</code> in another tab,
        then go on.
      </span>
      <Button size="compact-xs" variant="default" onClick={again}>
        Go on
      </Button>
    </div>
  );
}

/** The build of this tab is the first one that the server named. */
function NewBuildBanner({ build }: { build: string }) {
  const first = useRef(build);
  const { data } = useQuery(sessionQuery);
  if (!data || data.build === first.current) return null;
  return (
    <div className={classes.banner} role="status">
      <IconRefresh size={14} stroke={1.75} aria-hidden="true" />
      <span>There is a new version of the console.</span>
      <Button size="compact-xs" variant="default" onClick={() => location.reload()}>
        Reload
      </Button>
    </div>
  );
}
