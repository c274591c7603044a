import { Button } from "@mantine/core";
import { shown } from "../common/text";
import { Logo } from "./Logo";
import classes from "./SignIn.module.css";

/** Says how to get in: there is no password, a command on the server's machine prints a link that works once. */
export function SignIn({ told, retry }: { told: string; retry: () => void }) {
  return (
    <main className={classes.page}>
      <div className={classes.card}>
        <Logo />
        <h1>Sign in with a link</h1>
        <p>There is no password. Each of these prints a link to this console that works once:</p>
        <dl>
          <dt>
            <code>kaon ui</code>
          </dt>
          <dd>for a directory of runs or a coordinator</dd>
          <dt>
            <code>make link</code>
          </dt>
          <dd>for the system that make dev keeps running</dd>
          <dt>
            <code>docker compose exec console python -m kaon_console link</code>
          </dt>
          <dd>for the system in containers</dd>
        </dl>
        <p className={classes.hint}>This console says: {shown(told)}.</p>
        <Button variant="default" onClick={retry}>
          I have opened the link
        </Button>
      </div>
    </main>
  );
}
