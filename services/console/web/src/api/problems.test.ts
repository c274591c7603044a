import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { problemsOf, readBadRequest } from "./problems";

function badRequest(): Uint8Array {
  const violation = new BinaryWriter()
    .tag(1, WireType.LengthDelimited)
    .string("params_json[rate]")
    .tag(9, WireType.Varint)
    .int32(7)
    .tag(2, WireType.LengthDelimited)
    .string("must be a number")
    .finish();
  return new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(violation).finish();
}

test("the fields that the server refuses are read, and what is not known is passed over", () => {
  expect(readBadRequest(badRequest())).toEqual([{ field: "params_json[rate]", text: "must be a number" }]);
});

test("only errors about fields have problems", () => {
  const error = new ConnectError("no", Code.InvalidArgument);
  expect(problemsOf(error)).toEqual([]);
  error.details.push({ type: "google.rpc.BadRequest", value: badRequest() });
  expect(problemsOf(error)).toHaveLength(1);
});
