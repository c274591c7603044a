import { lazy } from "react";
import type { Session } from "../api/session";
import { OnDemand } from "../common/OnDemand";
import { AccountButton } from "./AccountButton";

const AccountMenu = lazy(() => import("./AccountMenu").then(({ AccountMenu }) => ({ default: AccountMenu })));

/** Who is signed in, how times and colours are shown, and the way out. */
export function Account({ session }: { session: Session }) {
  return (
    <OnDemand button={(props) => <AccountButton session={session} {...props} />}>
      <AccountMenu session={session} />
    </OnDemand>
  );
}
