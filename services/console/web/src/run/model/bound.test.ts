import { expect, test } from "vitest";
import { boundEntries, boundName, boundText } from "./bound";

test("policies have the words of the language", () => {
  expect(boundName("timeout_ms", true)).toBe("total_timeout");
  expect(boundName("timeout_ms", false)).toBe("timeout");
  expect(boundName("step.timeout_ms", true)).toBe("timeout");
  expect(boundName("step.retry.max_attempts", true)).toBe("retry.max_attempts");
  expect(boundName("step.retry.backoff_factor", true)).toBe("retry.factor");
  expect(boundName("step.resources.memory_bytes", true)).toBe("resources.memory");
  expect(boundName("step.config.image", true)).toBe("image");
  expect(boundName("for_each.failure.tolerate", false)).toBe("tolerate");
  expect(boundName("locks.seats.limit", false)).toBe("semaphore seats: limit");
  expect(boundName("step.retry.rules.http.Gone.max_attempts", true)).toBe("retry.http.Gone: max_attempts");
  expect(boundName("step.retry.rules.75.backoff_ms", true)).toBe("retry.75: backoff");
  expect(boundName("step.config.sidecars.db.image", true)).toBe("sidecar db: image");
  expect(boundName("sub_workflow.workflow", false)).toBe("workflow");
});

test("values are told as people read them", () => {
  const values = { "step.timeout_ms": "90000", "step.priority": "5", "step.pool": "null" };
  expect(boundText(values)).toBe("pool by default, priority 5, timeout 90 s");
  expect(
    boundEntries({ "step.resources.memory_bytes": "1073741824", "step.resources.cpu_milli": "500" }, true),
  ).toEqual([
    ["resources.cpu", "0.5"],
    ["resources.memory", "1024 MiB"],
  ]);
});
