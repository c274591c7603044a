import { Button } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { datasetRoute } from "../app/router";
import chip from "../common/Chip.module.css";
import { LinkButton } from "../common/LinkButton";
import { Below, Page } from "../common/Page";
import { EmptyState, ErrorState, LoadingState } from "../common/states";
import { Time } from "../common/Time";
import { counted, shown } from "../common/text";
import type { Dataset } from "../gen/kaonapi/dataset/v1/dataset_pb";
import classes from "./Datasets.module.css";
import { partitionsOf } from "./outputs";
import { datasetQuery, updatesQuery, useFresh } from "./queries";
import { RecordButton } from "./RecordButton";
import { MakerLink, Updates } from "./Updates";

/** One dataset: who updates it, what that starts, and its updates by partition. The address holds the partition. */
export function DatasetPage() {
  const { name } = datasetRoute.useParams();
  const { data, error, refetch } = useQuery(datasetQuery(name));
  useFresh();
  return (
    <Page
      title={
        <Below to="/datasets" above="Datasets">
          {shown(name)}
        </Below>
      }
      aside={data && counted(Number(data.updates), "update")}
      actions={<RecordButton name={name} />}
    >
      {error && !data ? (
        <ErrorState
          error={error}
          retry={() => void refetch()}
          ways={
            <LinkButton to="/datasets" variant="default">
              All datasets
            </LinkButton>
          }
        />
      ) : !data ? (
        <LoadingState label="Loading the dataset" />
      ) : (
        <>
          <Neighbours dataset={data} />
          <Past name={name} />
        </>
      )}
    </Page>
  );
}

/** What updates the dataset, and what waits for it. */
function Neighbours({ dataset: { producers, consumers } }: { dataset: Dataset }) {
  return (
    <div className={classes.neighbours}>
      <Section title="Updated by">
        {producers.length === 0 && <p className={classes.dim}>No step has updated it.</p>}
        <ul>
          {producers.map((update) => (
            <li key={`${update.workflow} ${update.path}`}>
              <MakerLink update={update} />
              <span className={classes.dim}>
                <Time at={update.time} format="ago" />
              </span>
            </li>
          ))}
        </ul>
      </Section>
      <Section title="Starts">
        {consumers.length === 0 && <p className={classes.dim}>No schedule waits for it.</p>}
        <ul>
          {consumers.map(({ schedule, workflow }) => (
            <li key={schedule}>
              <Link to="/runs" search={{ workflow } as never}>
                {shown(workflow)}
              </Link>
              <span className={classes.dim}>by schedule {shown(schedule)}</span>
            </li>
          ))}
        </ul>
      </Section>
    </div>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className={classes.section}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

function Past({ name }: { name: string }) {
  const search = datasetRoute.useSearch();
  const partition = search.whole === undefined ? search.partition : "";
  const all = useInfiniteQuery(updatesQuery(name, undefined));
  const some = useInfiniteQuery({ ...updatesQuery(name, partition), enabled: partition !== undefined });
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = partition === undefined ? all : some;
  const updates = data?.pages.flatMap((page) => page.updates) ?? [];
  const known = all.data?.pages.flatMap((page) => page.updates) ?? [];
  if (error && !data) return <ErrorState error={error} retry={() => void refetch()} />;
  return (
    <section className={classes.past}>
      <h2>Updates</h2>
      <Partitions names={partitionsOf([...known, ...updates])} chosen={partition} all={!all.hasNextPage} />
      {!data ? (
        <LoadingState label="Loading updates" />
      ) : updates.length === 0 ? (
        <EmptyState title={partition === undefined ? "It was never updated" : "This partition was never updated"} />
      ) : (
        <Updates updates={updates} />
      )}
      {hasNextPage && (
        <Button variant="default" loading={isFetchingNextPage} onClick={() => void fetchNextPage()}>
          Older updates
        </Button>
      )}
    </section>
  );
}

interface PartitionsProps {
  names: readonly string[];
  chosen: string | undefined;
  /** Whether these are all: older updates may name others. */
  all: boolean;
}

/** Chooses the partition whose updates are shown. */
function Partitions({ names, chosen, all }: PartitionsProps) {
  const navigate = useNavigate();
  const choose = (partition: string | undefined) =>
    void navigate({
      to: ".",
      search: { partition, whole: partition === "" ? "1" : undefined } as never,
      replace: true,
    });
  if (names.length < 2 && chosen === undefined) return null;
  return (
    <fieldset className={classes.partitions} aria-label="Partition">
      {[undefined, ...names].map((name) => (
        <button
          key={name ?? "all of them"}
          type="button"
          className={chip.chip}
          aria-pressed={name === chosen}
          onClick={() => choose(name)}
        >
          <span className={chip.text}>{name === undefined ? "All" : name === "" ? "As a whole" : shown(name)}</span>
        </button>
      ))}
      {!all && <span className={classes.dim}>of the updates that are loaded</span>}
    </fieldset>
  );
}
