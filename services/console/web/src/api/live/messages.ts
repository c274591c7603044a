/** What a stream reads and writes of Watch's messages; the rest of them passes as it is. A test holds this to the generated ones. */

import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { OpenTopic, Response } from "./hub";

const TOPICS = 1;
const TOGETHER = 2;
/** Fields of a topic, and of a response. */
const KEY = 1;
const CURSOR = 2;
const INTERVAL_MS = 3;
const SNAPSHOT = 3;
const ALSO = 11;

/** Encodes a WatchRequest whose topics are encoded but for the key, the cursor and the pace, which belong to the hub. */
export function watchRequest(topics: readonly OpenTopic<Uint8Array>[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const { key, cursor, intervalMs, topic } of topics) {
    writer.tag(TOPICS, WireType.LengthDelimited).fork().raw(topic);
    writer.tag(KEY, WireType.LengthDelimited).string(key);
    writer.tag(CURSOR, WireType.LengthDelimited).string(cursor);
    writer.tag(INTERVAL_MS, WireType.Varint).int32(intervalMs).join();
  }
  writer.tag(TOGETHER, WireType.Varint).bool(true);
  return writer.finish();
}

/** Cuts an encoded WatchResponse into those that came together: the first, then those of its `also`, which stand last. */
export function apart(response: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const reader = new BinaryReader(response);
  const others: Uint8Array<ArrayBuffer>[] = [];
  let end = response.byteLength;
  while (reader.pos < reader.len) {
    const begin = reader.pos;
    const [field, type] = reader.tag();
    if (field !== ALSO) reader.skip(type);
    else {
      end = Math.min(end, begin);
      // Of its own, so that it can be handed over alone.
      others.push(reader.bytes().slice());
    }
  }
  return others.length === 0 ? [response] : [response.slice(0, end), ...others];
}

/** Reads of an encoded WatchResponse whose it is and where to go on. */
export function headOf(response: Uint8Array): Response {
  const reader = new BinaryReader(response);
  let [key, cursor, snapshot] = ["", "", false];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === KEY) key = reader.string();
    else if (field === CURSOR) cursor = reader.string();
    else if (field === SNAPSHOT) snapshot = reader.bool();
    else reader.skip(type);
  }
  return { key, cursor, snapshot };
}
