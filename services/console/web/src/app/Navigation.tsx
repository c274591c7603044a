import { IconDatabase, IconHome, IconKeyboard, IconList, IconPlayerPlay, IconSearch } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { refusalOf } from "../api/refusals";
import type { Session } from "../api/session";
import { Account } from "./Account";
import { Keys } from "./keys/Keys";
import { Logo } from "./Logo";
import classes from "./Navigation.module.css";
import { Pulse } from "./Pulse";

const ICON = { size: 16, stroke: 1.75, "aria-hidden": true } as const;

/** The pages that there are. */
const PLACES: readonly { to: "/" | "/runs" | "/launch" | "/datasets"; label: string; icon: ReactNode }[] = [
  { to: "/", label: "Overview", icon: <IconHome {...ICON} /> },
  { to: "/runs", label: "Runs", icon: <IconList {...ICON} /> },
  { to: "/launch", label: "Launch", icon: <IconPlayerPlay {...ICON} /> },
  { to: "/datasets", label: "Datasets", icon: <IconDatabase {...ICON} /> },
];

/** The pages that somebody can use: who may not submit runs launches nothing. */
export function placesOf(session: Session): typeof PLACES {
  return PLACES.filter(({ to }) => to !== "/launch" || refusalOf(session, "SubmitRun") === "");
}

interface Props {
  session: Session;
  onSearch: () => void;
  onHelp: () => void;
}

/** The column at the left. */
export function Navigation({ session, onSearch, onHelp }: Props) {
  return (
    <nav className={classes.nav} aria-label="Pages">
      <div className={classes.head}>
        <Logo />
        <Pulse />
      </div>
      <button type="button" className={classes.search} onClick={onSearch}>
        <IconSearch size={14} stroke={1.75} aria-hidden="true" />
        <span>Search</span>
        <Keys keys="mod+k" />
      </button>
      <ul className={classes.places}>
        {placesOf(session).map(({ to, label, icon }) => (
          <li key={to}>
            <Link to={to} className={classes.place} activeOptions={{ exact: to === "/", includeSearch: false }}>
              {icon}
              {label}
            </Link>
          </li>
        ))}
      </ul>
      <div className={classes.foot}>
        <button type="button" className={classes.place} onClick={onHelp}>
          <IconKeyboard {...ICON} />
          <span className={classes.grow}>Shortcuts</span>
          <Keys keys="?" />
        </button>
        <Account session={session} />
      </div>
    </nav>
  );
}
