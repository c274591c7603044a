import { lazy, Suspense, useState } from "react";
import type { Session } from "../api/session";
import { AccountButton } from "./AccountButton";

const AccountMenu = lazy(() => import("./AccountMenu").then(({ AccountMenu }) => ({ default: AccountMenu })));

/** Who is signed in, how times and colours are shown, and the way out. The menu is loaded when it is first wanted. */
export function Account({ session }: { session: Session }) {
  const [wanted, setWanted] = useState(false);
  const button = (
    <AccountButton session={session} aria-haspopup="menu" aria-expanded={false} onClick={() => setWanted(true)} />
  );
  return wanted ? (
    <Suspense fallback={button}>
      <AccountMenu session={session} />
    </Suspense>
  ) : (
    button
  );
}
