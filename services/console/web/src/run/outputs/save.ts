/** Saves an artifact as a file of the reader's. */

import { createClient } from "@connectrpc/connect";
import { transport } from "../../api/line";
import { download } from "../../common/download";
import { ArtifactService } from "../../gen/kaonapi/artifact/v1/artifact_service_pb";
import type { Artifact, Place } from "./artifacts";

/** A browser holds all of it before it writes the file. */
export const SAVED_BYTES = 500_000_000;

const artifacts = createClient(ArtifactService, transport);

/** Under the name that the step gave it; of a directory, as the tar file in which it is kept. */
export function fileName(artifact: Artifact, output: string): string {
  const name = artifact.name || output;
  return artifact.mediaType === "application/x-tar" ? `${name}.tar` : name;
}

/**
 * Reads the whole artifact and gives it to the browser.
 *
 * @throws The server does not give it, or the output is another artifact by now.
 */
export async function saveArtifact(artifact: Artifact, { runId, path, output }: Place): Promise<void> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of artifacts.readArtifact({ runId, path, output })) {
    const found = piece.artifact?.digest;
    if (found !== undefined && found !== artifact.digest)
      throw new Error(`output ${output} is another artifact by now: ${found}`);
    parts.push(piece.data as Uint8Array<ArrayBuffer>);
  }
  download(fileName(artifact, output), new Blob(parts, { type: "application/octet-stream" }));
}
