import { Button } from "@mantine/core";
import { useRunPage } from "../context";

/** The way on from a part of a run that is not there. */
export function WholeRun() {
  const { go } = useRunPage();
  return (
    <Button variant="default" onClick={() => go({ step: "", cells: "", line: "", panel: "overview", tab: "graph" })}>
      Show the whole run
    </Button>
  );
}
