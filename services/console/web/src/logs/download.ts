import { logs } from "../run/clients";

/** Saves the whole log of an attempt. A browser that can write files gets it piece by piece. */
export async function downloadLog(runId: string, path: string, attempt: number): Promise<void> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const { data } of logs.readWholeLog({ runId, path, attempt })) parts.push(data as Uint8Array<ArrayBuffer>);
  const link = document.createElement("a");
  const url = URL.createObjectURL(new Blob(parts, { type: "text/plain" }));
  link.href = url;
  link.download = `${path.replace(/[^\w.-]+/g, "_")}-${attempt}.log`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
