import { Button, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { issuerLink, issuerQuery, signIn } from "../api/session";
import { sentence, shown } from "../common/text";
import { Logo } from "./Logo";
import classes from "./SignIn.module.css";

/** Says how to get in: by the issuer where there is one, with a token, or with a link that a command on the server's machine prints. */
export function SignIn({ told, retry }: { told: string; retry: () => void }) {
  return (
    <main className={classes.page}>
      <div className={classes.card}>
        <Logo />
        <h1>Sign in</h1>
        <IssuerButton />
        <TokenForm done={retry} />
        <p>There is no password. Without a token, each of these prints a link to this console that works once:</p>
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

function IssuerButton() {
  const { data: issuer } = useQuery(issuerQuery);
  if (!issuer) return null;
  const { pathname, search } = window.location;
  return (
    <>
      <Button component="a" href={issuerLink(pathname + search)} fullWidth>
        Sign in with {shown(issuer)}
      </Button>
      <p className={classes.or}>or</p>
    </>
  );
}

function TokenForm({ done }: { done: () => void }) {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    const refused = await signIn(token);
    setBusy(false);
    setProblem(refused);
    if (!refused) done();
  };
  return (
    <form className={classes.form} onSubmit={submit}>
      <TextInput
        type="password"
        label="Token"
        description="From an administrator, or kaon tokens create"
        autoComplete="off"
        value={token}
        error={problem && shown(sentence(problem))}
        onChange={(event) => setToken(event.currentTarget.value)}
      />
      <Button type="submit" loading={busy} disabled={!token.trim()}>
        Sign in
      </Button>
    </form>
  );
}
