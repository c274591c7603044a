import { BinaryReader } from "@bufbuild/protobuf/wire";
import { ConnectError } from "@connectrpc/connect";

/** One thing that is wrong with a request. */
export interface Problem {
  /** Where: "params_json[rate]". */
  readonly field: string;
  readonly text: string;
}

const BAD_REQUEST = "google.rpc.BadRequest";

/** Returns what the server found wrong with the fields of a request; empty for other errors. */
export function problemsOf(error: unknown): Problem[] {
  return ConnectError.from(error).details.flatMap((detail) =>
    "type" in detail && detail.type === BAD_REQUEST ? readBadRequest(detail.value) : [],
  );
}

/** Reads google.rpc.BadRequest: field 1 repeats a violation, with its field as 1 and its description as 2. */
export function readBadRequest(bytes: Uint8Array): Problem[] {
  const found: Problem[] = [];
  eachField(bytes, (number, reader) => {
    if (number === 1) found.push(readViolation(reader.bytes()));
    return number === 1;
  });
  return found;
}

function readViolation(bytes: Uint8Array): Problem {
  const problem = { field: "", text: "" };
  eachField(bytes, (number, reader) => {
    if (number === 1) problem.field = reader.string();
    else if (number === 2) problem.text = reader.string();
    return number === 1 || number === 2;
  });
  return problem;
}

function eachField(bytes: Uint8Array, read: (number: number, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (!read(number, reader)) reader.skip(type, number);
  }
}
