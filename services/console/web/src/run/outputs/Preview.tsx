import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { formatCount, shown } from "../../common/text";
import { type Artifact, type Place, pretty, previewOf, previewUrl, tableOf } from "./artifacts";
import classes from "./Outputs.module.css";
import { sizeText } from "./size";

/** The beginning of an artifact. Images and HTML come from a path that lets nothing in them run; all else is text. */
export function Preview({ artifact, place }: { artifact: Artifact; place: Place }) {
  const { kind, mediaType } = previewOf(artifact);
  const url = previewUrl(place, artifact.digest, mediaType);
  if (kind === "image") return <ImagePreview url={url} artifact={artifact} />;
  if (kind === "html")
    return <iframe className={classes.frame} src={url} sandbox="" title={artifact.name || "preview"} />;
  return <TextPreview url={url} mediaType={mediaType} table={kind === "table"} />;
}

function ImagePreview({ url, artifact }: { url: string; artifact: Artifact }) {
  const [failed, setFailed] = useState(false);
  if (failed) return <p className={classes.note}>The image cannot be shown: it is gone, too large, or none.</p>;
  return (
    <img
      className={classes.image}
      src={url}
      alt={artifact.name || "plot"}
      loading="lazy"
      onError={() => setFailed(true)}
    />
  );
}

interface Beginning {
  readonly text: string;
  /** Size of the whole; undefined when this is all of it. */
  readonly total: number | undefined;
}

async function fetchText(url: string, signal: AbortSignal): Promise<Beginning> {
  const answer = await fetch(url, { signal });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text.trim() || `the server answers ${answer.status}`);
  const total = answer.headers.get("kaon-total-bytes");
  return { text, total: total === null ? undefined : Number(total) };
}

const MOST = 200_000;

function TextPreview({ url, mediaType, table }: { url: string; mediaType: string; table: boolean }) {
  const { data, error } = useQuery({
    queryKey: ["preview", url],
    queryFn: ({ signal }) => fetchText(url, signal),
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
  if (error) return <p className={classes.note}>{shown(error.message)}</p>;
  if (!data) return <p className={classes.note}>Loading…</p>;
  const cut = data.text.length > MOST || data.total !== undefined;
  return (
    <>
      {table ? (
        <TablePreview text={data.text} mediaType={mediaType} />
      ) : (
        <pre className={classes.text}>
          {shown((mediaType === "application/json" ? pretty(data.text) : data.text).slice(0, MOST))}
        </pre>
      )}
      {cut && <p className={classes.note}>The beginning of {sizeText(data.total ?? data.text.length)}.</p>}
    </>
  );
}

const NUMBER = /^(-?\d+(\.\d+)?(e[+-]?\d+)?|)$/i;

function TablePreview({ text, mediaType }: { text: string; mediaType: string }) {
  const { columns, rows } = tableOf(text, mediaType);
  const numbers = columns.map((_, at) => rows.every((row) => NUMBER.test(row[at] ?? "")));
  return (
    <div className={classes.scroll}>
      <table className={classes.table}>
        <thead>
          <tr>
            {columns.map((column, at) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: columns may have equal names.
              <th key={at} data-number={numbers[at]}>
                {shown(column)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: rows have no names.
            <tr key={at}>
              {row.map((field, column) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: fields stand under their columns.
                <td key={column} data-number={numbers[column]}>
                  {shown(field.slice(0, 400))}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length >= 500 && <p className={classes.note}>The first {formatCount(rows.length)} rows.</p>}
    </div>
  );
}
