/** What a stream reads and writes of Watch's messages; the rest of them passes as it is. A test holds this to the generated ones. */

import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { OpenTopic, Response } from "./hub";

const TOPICS = 1;
/** Fields of a topic, and of a response. */
const KEY = 1;
const CURSOR = 2;
const INTERVAL_MS = 3;
const SNAPSHOT = 3;

/** Encodes a WatchRequest whose topics are encoded but for the key, the cursor and the pace, which belong to the hub. */
export function watchRequest(topics: readonly OpenTopic<Uint8Array>[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const { key, cursor, intervalMs, topic } of topics) {
    writer.tag(TOPICS, WireType.LengthDelimited).fork().raw(topic);
    writer.tag(KEY, WireType.LengthDelimited).string(key);
    writer.tag(CURSOR, WireType.LengthDelimited).string(cursor);
    writer.tag(INTERVAL_MS, WireType.Varint).int32(intervalMs).join();
  }
  return writer.finish();
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
