import { expect, it } from "vitest";
import { formatSearch, parseSearch } from "../common/search";
import { formatRunSearch, parseRunSearch } from "./search";

it("keeps everything that is seen in the address, and nothing that stands for itself", () => {
  const address =
    "?tab=timeline&step=cycle%232/regions[US]/train&panel=logs&seq=41&line=1.2.7&pass=cycle%232&open=child&kind=step_ended";
  const search = parseRunSearch(parseSearch(address));
  expect(search).toMatchObject({
    tab: "timeline",
    step: "cycle#2/regions[US]/train",
    panel: "logs",
    seq: 41,
    line: "1.2.7",
    passes: { cycle: 2 },
    opened: ["child"],
    kinds: ["step_ended"],
  });
  expect(parseRunSearch(parseSearch(formatSearch(formatRunSearch(search))))).toEqual(search);
  expect(formatSearch(formatRunSearch(parseRunSearch({})))).toBe("");
});

it("takes an address that nobody wrote as the page without it", () => {
  const hostile = { tab: "admin", seq: "-1", pass: ["x", "#2", "a#999999999999"], step: ["a", "b"], panel: "" };
  expect(parseRunSearch(hostile)).toEqual(parseRunSearch({}));
});
