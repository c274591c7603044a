import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ListHead } from "../common/ListHead";
import { Page } from "../common/Page";
import { EmptyState, ErrorState, LoadingState } from "../common/states";
import { Time } from "../common/Time";
import { counted, shown } from "../common/text";
import type { Dataset } from "../gen/kaonapi/dataset/v1/dataset_pb";
import classes from "./Datasets.module.css";
import { datasetsQuery, useFresh } from "./queries";
import { RecordButton } from "./RecordButton";
import { Maker } from "./Updates";

/** All datasets of the tenant, by name. */
export function DatasetsPage() {
  const { data, error, refetch } = useQuery(datasetsQuery);
  useFresh();
  return (
    <Page title="Datasets" aside={data && counted(data.length, "dataset")} actions={<RecordButton />}>
      {error && !data ? (
        <ErrorState error={error} retry={() => void refetch()} />
      ) : !data ? (
        <LoadingState label="Loading datasets" />
      ) : data.length === 0 ? (
        <EmptyState title="There is no dataset yet">
          A dataset exists from its first update on: give a step <code>produces=[dataset("ratings")]</code>, or record
          an update.
        </EmptyState>
      ) : (
        <>
          <ListHead
            className={classes.row}
            titles={["Dataset", "Updated by", "Partition", "So far", "Newest"]}
            ends={2}
          />
          <ul className={classes.list}>
            {data.map((dataset) => (
              <DatasetRow key={dataset.name} dataset={dataset} />
            ))}
          </ul>
        </>
      )}
    </Page>
  );
}

function DatasetRow({ dataset: { name, updates, newest } }: { dataset: Dataset }) {
  return (
    <li>
      <Link to="/datasets/$name" params={{ name }} className={classes.row}>
        <span className={classes.name}>{shown(name)}</span>
        <span className={classes.made}>{newest && <Maker update={newest} />}</span>
        <span className={classes.partition}>{newest && shown(newest.partition)}</span>
        <span className={classes.fact}>{counted(Number(updates), "update")}</span>
        <span className={classes.time}>{newest && <Time at={newest.time} format="ago" />}</span>
      </Link>
    </li>
  );
}
