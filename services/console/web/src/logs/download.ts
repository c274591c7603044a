import { download } from "../common/download";
import { logs } from "../run/clients";

/** Saves the whole log of an attempt. */
export async function downloadLog(runId: string, path: string, attempt: number): Promise<void> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const { data } of logs.readWholeLog({ runId, path, attempt })) parts.push(data as Uint8Array<ArrayBuffer>);
  download(`${path.replace(/[^\w.-]+/g, "_")}-${attempt}.log`, new Blob(parts, { type: "text/plain" }));
}
