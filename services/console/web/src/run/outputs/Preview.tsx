import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { formatCount, shown } from "../../common/text";
import {
  type Artifact,
  linesTable,
  type Place,
  type PreviewKind,
  pretty,
  previewOf,
  previewUrl,
  ROWS,
  tableOf,
} from "./artifacts";
import { Markdown } from "./Markdown";
import classes from "./Outputs.module.css";
import { Rows } from "./Rows";
import { sizeText } from "./size";

/** The beginning of an artifact. Images and HTML come from a path that lets nothing in them run; all else is text. */
export function Preview({ artifact, place }: { artifact: Artifact; place: Place }) {
  const { kind, mediaType } = previewOf(artifact);
  const url = previewUrl(place, artifact.digest, mediaType);
  if (kind === "image") return <ImagePreview url={url} artifact={artifact} />;
  if (kind === "html")
    return <iframe className={classes.frame} src={url} sandbox="" title={artifact.name || "preview"} />;
  return <TextPreview url={url} mediaType={mediaType} kind={kind} />;
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

function TextPreview({ url, mediaType, kind }: { url: string; mediaType: string; kind: PreviewKind }) {
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
      {kind === "table" || kind === "lines" ? (
        <TablePreview text={data.text} mediaType={mediaType} kind={kind} />
      ) : kind === "markdown" ? (
        <Markdown text={data.text.slice(0, MOST)} />
      ) : (
        <pre className={classes.text}>
          {shown((mediaType === "application/json" ? pretty(data.text) : data.text).slice(0, MOST))}
        </pre>
      )}
      {cut && <p className={classes.note}>The beginning of {sizeText(data.total ?? data.text.length)}.</p>}
    </>
  );
}

/** Comma-separated values, or lines of JSON that are alike. */
function TablePreview({ text, mediaType, kind }: { text: string; mediaType: string; kind: PreviewKind }) {
  const table = kind === "lines" ? linesTable(text) : tableOf(text, mediaType);
  if (table === undefined) return <pre className={classes.text}>{shown(text.slice(0, MOST))}</pre>;
  return (
    <div className={classes.scroll}>
      <Rows columns={table.columns} rows={table.rows} />
      {table.rows.length >= ROWS && <p className={classes.note}>The first {formatCount(table.rows.length)} rows.</p>}
    </div>
  );
}
