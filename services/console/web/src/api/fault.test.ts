import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { faultOf, mayPass } from "./fault";

test.each([
  [Code.Unauthenticated, "signed-out"],
  [Code.PermissionDenied, "forbidden"],
  [Code.NotFound, "missing"],
  [Code.FailedPrecondition, "refused"],
  [Code.Unavailable, "away"],
  [Code.Internal, "broken"],
])("code %d is a fault of the kind %s", (code, kind) => {
  expect(faultOf(new ConnectError("run r1 has ended", code))).toMatchObject({ kind, message: "run r1 has ended" });
});

test("a fetch without an answer is worth another try, a refusal is not", () => {
  expect(mayPass(new TypeError("Failed to fetch"))).toBe(true);
  expect(mayPass(ConnectError.from(new TypeError("Failed to fetch")))).toBe(true);
  expect(mayPass(new ConnectError("no", Code.PermissionDenied))).toBe(false);
});

test.each([
  "Unable to preload CSS for http://127.0.0.1/assets/a.css",
  "Failed to fetch dynamically imported module: x",
])("a part of the page that did not come is worth another try: %s", (text) => {
  expect(mayPass(new Error(text))).toBe(true);
});

test("who does not answer is named", () => {
  const told = new ConnectError("the view service at 127.0.0.1:7075 does not answer", Code.Unavailable);
  expect(faultOf(told).title).toBe("The view service does not answer");
});
