import { useQuery } from "@tanstack/react-query";
import { Outlet, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useState } from "react";
import { faultOf } from "../api/fault";
import { refusalOf } from "../api/refusals";
import { type Session, sessionQuery } from "../api/session";
import { ErrorState } from "../common/states";
import { useStore } from "../common/store";
import { bulkStore } from "../runs/bulkStore";
import { Boot } from "./Boot";
import { ConnectionBanner } from "./ConnectionBanner";
import { handleKey, useShortcut } from "./keys/shortcuts";
import { MobileBar, MobileTabs } from "./Mobile";
import { Navigation } from "./Navigation";
import classes from "./Shell.module.css";

// Who has a session never sees it.
const SignIn = lazy(() => import("./SignIn").then(({ SignIn }) => ({ default: SignIn })));
// What opens on a key is loaded when it is first wanted.
const Palette = lazy(() => import("./palette/Palette").then(({ Palette }) => ({ default: Palette })));
const ShortcutHelp = lazy(() => import("./keys/ShortcutHelp").then(({ ShortcutHelp }) => ({ default: ShortcutHelp })));
const BulkWork = lazy(() => import("../runs/BulkWork").then(({ BulkWork }) => ({ default: BulkWork })));

/** The frame around every page: who is signed in decides whether there is one. */
export function Shell() {
  const { data, error, refetch } = useQuery(sessionQuery);
  if (data) return <Frame session={data} />;
  if (!error) return <Boot />;
  const fault = faultOf(error);
  if (fault.kind === "signed-out")
    return (
      <Suspense fallback={<Boot />}>
        <SignIn told={fault.message} retry={refetch} />
      </Suspense>
    );
  return <ErrorState error={error} retry={refetch} />;
}

function Frame({ session }: { session: Session }) {
  const [palette, setPalette] = useState(false);
  const [help, setHelp] = useState(false);
  const navigate = useNavigate();
  useShortcut("mod+k", "Search and commands", () => setPalette((open) => !open), "Everywhere");
  useShortcut("g o", "Go to the overview", () => navigate({ to: "/" }), "Everywhere");
  useShortcut("g r", "Go to the runs", () => navigate({ to: "/runs" }), "Everywhere");
  const launches = refusalOf(session, "SubmitRun") === "";
  useShortcut("g l", "Launch a workflow", () => launches && navigate({ to: "/launch" }), "Everywhere");
  useShortcut("g d", "Go to the datasets", () => navigate({ to: "/datasets" }), "Everywhere");
  useShortcut("?", "Show the shortcuts", () => setHelp(true), "Everywhere");
  useEffect(() => {
    document.addEventListener("keydown", handleKey);
    return () => document.removeEventListener("keydown", handleKey);
  }, []);
  useEffect(() => void import("../common/keepFocus").then(({ keepFocus }) => keepFocus()), []);
  const openPalette = () => setPalette(true);
  return (
    <div className={classes.frame}>
      <a className={classes.skip} href="#main">
        Skip the navigation
      </a>
      <Navigation session={session} onSearch={openPalette} onHelp={() => setHelp(true)} />
      <MobileBar session={session} onSearch={openPalette} />
      <div className={classes.page}>
        <ConnectionBanner build={session.build} />
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also where nothing in it takes the focus */}
        <main id="main" className={classes.main} tabIndex={0}>
          <Outlet />
        </main>
      </div>
      <MobileTabs session={session} />
      <Suspense>
        {palette && <Palette onClose={() => setPalette(false)} />}
        <AnyBulk />
        {help && <ShortcutHelp onClose={() => setHelp(false)} />}
      </Suspense>
    </div>
  );
}

/** What is done with many runs goes on from page to page. */
function AnyBulk() {
  return useStore(bulkStore) !== undefined && <BulkWork />;
}
