import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterEach, expect, test, vi } from "vitest";
import { TopicSchema, WatchRequestSchema, WatchResponseSchema } from "../../gen/kaonapi/view/v1/watch_pb";
import { apart, headOf, watchRequest } from "./messages";
import { envelopes, openStream, Refused } from "./stream";

afterEach(() => void vi.unstubAllGlobals());

function envelope(data: Uint8Array, flags = 0): Uint8Array {
  const made = new Uint8Array(5 + data.byteLength);
  made[0] = flags;
  new DataView(made.buffer).setUint32(1, data.byteLength);
  made.set(data, 5);
  return made;
}

const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

/** Answers a fetch with these bytes, cut into pieces of a size. */
function answering(bytes: readonly Uint8Array[], size: number, init: ResponseInit = {}): void {
  const all = new Blob(bytes as never);
  const body = new ReadableStream({
    async start(controller) {
      const data = new Uint8Array(await all.arrayBuffer());
      for (let at = 0; at < data.byteLength; at += size) controller.enqueue(data.slice(at, at + size));
      controller.close();
    },
  });
  vi.stubGlobal("fetch", async () => new Response(body, init));
}

async function read(): Promise<Uint8Array[]> {
  const found: Uint8Array[] = [];
  for await (const data of openStream([], new AbortController().signal)) found.push(data);
  return found;
}

test("a request is what the generated messages make of it", () => {
  const topic = {
    case: "run" as const,
    value: { $typeName: "kaonapi.view.v1.RunTopic" as const, runId: "r", scope: "", iterations: 20 },
  };
  const whole = { key: "7:1", cursor: "12:a:3", intervalMs: 1000, topic };
  const part = toBinary(TopicSchema, create(TopicSchema, { topic }));
  const request = watchRequest([
    { ...whole, topic: part },
    { key: "8:1", cursor: "", intervalMs: 0, topic: part },
  ]);
  const told = fromBinary(WatchRequestSchema, request);
  expect(told.together).toBe(true);
  expect(told.topics[0]).toEqual(create(TopicSchema, whole));
  expect(told.topics[1]).toEqual(create(TopicSchema, { ...whole, key: "8:1", cursor: "", intervalMs: 0 }));
});

test("responses that came together are taken apart, each with bytes of its own", () => {
  const one = create(WatchResponseSchema, { key: "7:1", cursor: "9", timeUs: 5n });
  const others = ["7:2", "8:1"].map((key) => create(WatchResponseSchema, { key, snapshot: true }));
  const together = toBinary(WatchResponseSchema, { ...one, also: others });
  const found = apart(together);
  expect(found.map((each) => fromBinary(WatchResponseSchema, each))).toEqual([one, ...others]);
  expect(new Set(found.map(({ buffer }) => buffer)).size).toBe(3);
  const alone = toBinary(WatchResponseSchema, one);
  expect(apart(alone)).toEqual([alone]);
});

test("of a response the head is read, wherever it stands", () => {
  const body = toBinary(
    WatchResponseSchema,
    create(WatchResponseSchema, {
      cursor: "9",
      snapshot: true,
      update: {
        case: "failure",
        value: { $typeName: "kaonapi.view.v1.TopicFailure", status: "NOT_FOUND", message: "x" },
      },
    }),
  );
  const tail = toBinary(WatchResponseSchema, create(WatchResponseSchema, { key: "7:1", timeUs: 5n }));
  expect(headOf(new Uint8Array([...body, ...tail]))).toEqual({ key: "7:1", cursor: "9", snapshot: true });
});

test.each([1, 3, 5, 7, 1000])("responses come whole from pieces of %i bytes", async (size) => {
  const sent = [new Uint8Array([1, 2, 3]), new Uint8Array(0), new Uint8Array(300).fill(7)];
  answering([...sent.map((data) => envelope(data)), envelope(text({}), 2)], size);
  expect(await read()).toEqual(sent);
});

test("an end with an error tells which", async () => {
  answering(
    [envelope(text({ error: { code: "unavailable", message: "the view service at x does not answer" } }), 2)],
    64,
  );
  await expect(read()).rejects.toMatchObject({
    code: Code.Unavailable,
    message: "the view service at x does not answer",
  });
});

test.each([
  [401, { code: "unauthenticated", message: "nobody is signed in" }, Code.Unauthenticated, "nobody is signed in"],
  [502, "a page of a proxy", Code.Unavailable, "The console's server answers 502."],
  [403, "a page of a proxy", Code.PermissionDenied, "The console's server answers 403."],
])("an answer %i without a stream is refused", async (status, body, code, message) => {
  answering([text(body)], 64, { status });
  await expect(read()).rejects.toMatchObject({ code, message });
});

test("a stream that is cut off is no end", async () => {
  const cut = envelope(new Uint8Array(9)).slice(0, 8);
  const chunks = [cut];
  const reader = {
    read: async () => (chunks.length > 0 ? { value: chunks.shift()!, done: false } : { value: undefined, done: true }),
  };
  const all = envelopes(reader as never);
  await expect(all.next()).rejects.toBeInstanceOf(Refused);
});
