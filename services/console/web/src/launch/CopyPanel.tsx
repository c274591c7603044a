import { SegmentedControl } from "@mantine/core";
import { useState } from "react";
import { CopyButton } from "../common/CopyButton";
import { shown } from "../common/text";
import classes from "./CopyPanel.module.css";
import { asCli, asPython, type Launch } from "./copy";

/** The same launch as a command or as Python, to be copied. */
export function CopyPanel({ launch }: { launch: Launch }) {
  const [language, setLanguage] = useState<"cli" | "python">("cli");
  const text = language === "cli" ? asCli(launch) : asPython(launch);
  return (
    <section className={classes.panel} aria-label="Copy as">
      <div className={classes.head}>
        <SegmentedControl
          aria-label="Copy as"
          value={language}
          onChange={(value) => setLanguage(value as typeof language)}
          data={[
            { value: "cli", label: "CLI" },
            { value: "python", label: "Python" },
          ]}
        />
        <CopyButton text={text} label={`Copy as ${language === "cli" ? "CLI" : "Python"}`} />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard */}
      <pre className={classes.code} tabIndex={0}>
        {shown(text)}
      </pre>
    </section>
  );
}
