import { Code } from "@connectrpc/connect";
import { codeNamed } from "../code";
import type { OpenTopic } from "./hub";
import { watchRequest } from "./messages";

/** Why the server has ended a stream, or did not begin one. */
export class Refused extends Error {
  constructor(
    readonly code: Code,
    message: string,
  ) {
    super(message);
  }
}

const PATH = "/api/kaonapi.view.v1.ViewService/Watch";
const HEADER = 5;
/** Of the envelope that ends a stream: it holds JSON. */
const END = 2;
const CUT = "the stream was cut off";

/**
 * Opens one stream of the Connect protocol, and yields its responses undecoded: whoever shows them decodes them, once. So whoever holds
 * the stream loads neither the messages nor the client.
 */
export async function* openStream(
  topics: readonly OpenTopic<Uint8Array>[],
  signal: AbortSignal,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const answer = await fetch(PATH, {
    method: "POST",
    headers: { "content-type": "application/connect+proto", "connect-protocol-version": "1" },
    body: enveloped(watchRequest(topics)),
    signal,
  });
  if (!answer.ok || answer.body === null) throw await refusalOf(answer);
  for await (const { flags, data } of envelopes(answer.body.getReader() as Reader)) {
    if ((flags & END) === 0) {
      yield data;
      continue;
    }
    const told = errorIn(parsed(new TextDecoder().decode(data)));
    if (told) throw told;
    return;
  }
}

function enveloped(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(HEADER + message.byteLength);
  new DataView(data.buffer).setUint32(1, message.byteLength);
  data.set(message, HEADER);
  return data;
}

type Reader = Pick<ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>, "read">;

export interface Envelope {
  readonly flags: number;
  readonly data: Uint8Array<ArrayBuffer>;
}

/** Reads envelopes however the network has cut them: a byte of flags, four of length, then the data. */
export async function* envelopes(reader: Reader): AsyncGenerator<Envelope> {
  const take = taker(reader);
  for (;;) {
    const header = await take(HEADER);
    if (header === undefined) return;
    const data = await take(new DataView(header.buffer).getUint32(1));
    if (data === undefined) throw new Refused(Code.Unavailable, CUT);
    yield { flags: header[0] as number, data };
  }
}

/** Returns a function that reads so many bytes; undefined when nothing more comes. */
function taker(reader: Reader): (length: number) => Promise<Uint8Array<ArrayBuffer> | undefined> {
  let chunk = new Uint8Array(0);
  return async (length) => {
    const target = new Uint8Array(length);
    for (let filled = 0; filled < length; ) {
      if (chunk.byteLength === 0) {
        const { value, done } = await reader.read();
        if (done && filled > 0) throw new Refused(Code.Unavailable, CUT);
        if (done) return undefined;
        chunk = value;
      }
      const part = chunk.subarray(0, length - filled);
      target.set(part, filled);
      filled += part.byteLength;
      chunk = chunk.subarray(part.byteLength);
    }
    return target;
  };
}

/** What an answer without a stream says: an error as JSON, or a status of whatever stands in between. */
async function refusalOf(answer: Response): Promise<Refused> {
  const told = errorIn({ error: parsed(await answer.text()) });
  return told ?? new Refused(codeOfStatus(answer.status), `The console's server answers ${answer.status}.`);
}

function codeOfStatus(status: number): Code {
  if (status === 401) return Code.Unauthenticated;
  if (status === 403) return Code.PermissionDenied;
  return status === 429 || status >= 500 ? Code.Unavailable : Code.Unknown;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function errorIn(told: unknown): Refused | undefined {
  const { error } = (told ?? {}) as { error?: { code?: unknown; message?: unknown } };
  if (typeof error?.code !== "string") return undefined;
  return new Refused(codeNamed(error.code), typeof error.message === "string" ? error.message : "");
}
