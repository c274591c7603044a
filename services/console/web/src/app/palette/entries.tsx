import { useMantineColorScheme } from "@mantine/core";
import {
  IconClock,
  IconDatabase,
  IconHome,
  IconLink,
  IconList,
  IconLogout,
  IconMoon,
  IconPlayerPlay,
  IconSun,
  IconSunMoon,
} from "@tabler/icons-react";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type ReactNode, useDeferredValue, useMemo } from "react";
import { useRefusal } from "../../api/refusals";
import { StatusMark } from "../../common/StatusMark";
import { makerText, shortId, shown } from "../../common/text";
import { zoneStore } from "../../common/zone";
import { findRuns, workflowsQuery } from "../../runs/queries";
import { signOutHere } from "../leave";
import type { Entry } from "./match";

export interface PaletteEntry extends Entry {
  readonly mark: ReactNode;
  readonly run: () => void;
  readonly keys?: string;
  /** An id that stands after the title. */
  readonly code?: string;
  /** Where runs are only shown there is no such entry. */
  readonly launches?: boolean;
}

const ICON = { size: 15, stroke: 1.75 } as const;

/** Everything that the palette offers, from the words that are typed. */
export function usePaletteEntries(query: string): readonly PaletteEntry[] {
  const pages = usePages();
  const commands = useCommands();
  const runs = useRuns(useDeferredValue(query.trim()));
  const workflows = useWorkflows();
  const may = useRefusal("SubmitRun") === "";
  return useMemo(
    () => [...pages, ...runs, ...workflows, ...commands].filter(({ launches }) => may || !launches),
    [pages, runs, workflows, commands, may],
  );
}

function usePages(): readonly PaletteEntry[] {
  const navigate = useNavigate();
  return useMemo(
    () => [
      page("Overview", <IconHome {...ICON} />, "g o", "home approvals pulse", () => navigate({ to: "/" })),
      page("Runs", <IconList {...ICON} />, "g r", "list history", () => navigate({ to: "/runs" })),
      page("Failed runs", <IconList {...ICON} />, undefined, "errors", () =>
        navigate({ to: "/runs", search: { status: ["FAILED", "TIMED_OUT"] } }),
      ),
      page("Datasets", <IconDatabase {...ICON} />, "g d", "partitions updates", () => navigate({ to: "/datasets" })),
      {
        ...page("Launch a workflow", <IconPlayerPlay {...ICON} />, "g l", "start submit new", () =>
          navigate({ to: "/launch" }),
        ),
        launches: true,
      },
    ],
    [navigate],
  );
}

function page(title: string, mark: ReactNode, keys: string | undefined, words: string, run: () => void): PaletteEntry {
  return { id: `page-${title.replaceAll(" ", "-")}`, group: "Pages", title, mark, keys, words, run };
}

function useRuns(text: string): readonly PaletteEntry[] {
  const navigate = useNavigate();
  const { data } = useQuery({
    queryKey: ["palette", text],
    queryFn: ({ signal }) => findRuns(text, signal),
    placeholderData: keepPreviousData,
  });
  return useMemo(
    () =>
      (data ?? []).map((run) => ({
        id: `run-${run.runId}`,
        group: "Runs",
        title: run.workflow,
        words: `${run.runId} ${run.submitter} ${run.origin} ${text}`,
        code: shortId(run.runId),
        hint: shown(makerText(run)),
        mark: <StatusMark status={run.status} />,
        run: () => void navigate({ to: "/runs/$runId", params: { runId: run.runId } }),
      })),
    [data, navigate, text],
  );
}

function useWorkflows(): readonly PaletteEntry[] {
  const navigate = useNavigate();
  const { data } = useQuery(workflowsQuery);
  return useMemo(
    () =>
      (data ?? []).flatMap(({ name }) => [
        {
          id: `launch-${name}`,
          group: "Workflows",
          title: `Launch ${name}`,
          launches: true,
          mark: <IconPlayerPlay {...ICON} />,
          run: () => void navigate({ to: "/launch/$workflow", params: { workflow: name } }),
        },
        {
          id: `runs-of-${name}`,
          group: "Workflows",
          title: `Runs of ${name}`,
          mark: <IconList {...ICON} />,
          run: () => void navigate({ to: "/runs", search: { workflow: name } }),
        },
      ]),
    [data, navigate],
  );
}

function useCommands(): readonly PaletteEntry[] {
  const { setColorScheme } = useMantineColorScheme();
  return useMemo(
    () => [
      command(
        "Copy the link to this page",
        <IconLink {...ICON} />,
        "url address share",
        () => void navigator.clipboard.writeText(location.href),
      ),
      command("Show times in UTC", <IconClock {...ICON} />, "zone clock", () => zoneStore.set("utc")),
      command("Show local times", <IconClock {...ICON} />, "zone clock", () => zoneStore.set("local")),
      command("Dark colours", <IconMoon {...ICON} />, "theme mode scheme", () => setColorScheme("dark")),
      command("Light colours", <IconSun {...ICON} />, "theme mode scheme", () => setColorScheme("light")),
      command("Colours of the system", <IconSunMoon {...ICON} />, "theme mode scheme", () => setColorScheme("auto")),
      command("Sign out", <IconLogout {...ICON} />, "leave exit", () => void signOutHere()),
    ],
    [setColorScheme],
  );
}

function command(title: string, mark: ReactNode, words: string, run: () => void): PaletteEntry {
  return { id: `do-${title.replaceAll(" ", "-")}`, group: "Commands", title, mark, words, run };
}
