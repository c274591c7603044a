import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { Status } from "../gen/kaonapi/run/v1/run_pb";
import { CountRunsResponseSchema } from "../gen/kaonapi/view/v1/runs_pb";
import { barsOf, bucketAt, piecesOf, ticksOf } from "./density";

const ANSWER = create(CountRunsResponseSchema, {
  fromUs: 1_000_000n,
  bucketUs: 500_000n,
  buckets: [
    {
      index: 2,
      counts: [
        { status: Status.FAILED, count: 1n },
        { status: Status.TIMED_OUT, count: 1n },
        { status: Status.SUCCEEDED, count: 98n },
      ],
    },
    { index: 9, counts: [{ status: Status.SUCCEEDED, count: 5n }] },
  ],
});

test("there is a bar for every bucket, and none for one beyond the last", () => {
  const bars = barsOf(ANSWER, 4);
  expect(bars.map(({ total }) => total)).toEqual([0, 0, 100, 0]);
  expect(bars[2]).toMatchObject({ from: 2000, to: 2500, tones: { failed: 2, done: 98 } });
});

test("only the wanted statuses count", () => {
  expect(barsOf(ANSWER, 4, new Set([Status.FAILED]))[2]!.total).toBe(1);
});

test("two failures among a hundred runs are seen, at the ground", () => {
  const [bar] = barsOf(ANSWER, 4).slice(2);
  const pieces = piecesOf(bar!, 100, 50);
  expect(pieces[0]).toMatchObject({ tone: "failed", height: 1 });
  expect(pieces[0]!.y + pieces[0]!.height).toBe(50);
  expect(piecesOf(barsOf(ANSWER, 4)[0]!, 100, 50)).toEqual([]);
});

test("a pixel beyond the edge belongs to the last bucket", () => {
  expect([-5, 0, 50, 100, 200].map((x) => bucketAt(x, 100, 10))).toEqual([0, 0, 5, 9, 9]);
});

test("ticks are round and few", () => {
  const hour = 3_600_000;
  expect(ticksOf(0, 6 * hour, 6)).toEqual([0, 1, 2, 3, 4, 5, 6].map((n) => n * hour));
  expect(ticksOf(0, 48 * hour, 2, 2 * hour)).toEqual([22 * hour, 46 * hour]);
  expect(ticksOf(0, 3000 * 365 * 24 * hour, 5).length).toBeGreaterThan(0);
});
