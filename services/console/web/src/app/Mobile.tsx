import { ActionIcon } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import type { Session } from "../api/session";
import { Account } from "./Account";
import { Logo } from "./Logo";
import classes from "./Mobile.module.css";
import { placesOf } from "./Navigation";
import { Pulse } from "./Pulse";

/** What stands above the page on a narrow screen. */
export function MobileBar({ session, onSearch }: { session: Session; onSearch: () => void }) {
  return (
    <header className={classes.bar}>
      <Logo />
      <Pulse />
      <span className={classes.grow} />
      <ActionIcon size="lg" aria-label="Search and commands" onClick={onSearch}>
        <IconSearch size={18} stroke={1.75} />
      </ActionIcon>
      <Account session={session} />
    </header>
  );
}

/** The pages, within reach of a thumb. */
export function MobileTabs({ session }: { session: Session }) {
  return (
    <nav className={classes.tabs} aria-label="Pages">
      {placesOf(session).map(({ to, label, icon }) => (
        <Link key={to} to={to} className={classes.tab} activeOptions={{ exact: to === "/", includeSearch: false }}>
          {icon}
          {label}
        </Link>
      ))}
    </nav>
  );
}
