import { expect, it } from "vitest";
import { fittedText } from "./label";

const widthOf = (text: string): number => text.length;

it("what fits stays as it is", () => {
  expect(fittedText(widthOf, "outer/train", 11)).toBe("outer/train");
});

it("of a path the end stays", () => {
  expect(fittedText(widthOf, "outer/inner/train", 14)).toBe("…/inner/train");
  expect(fittedText(widthOf, "outer/inner/train", 8)).toBe("…/train");
});

it("of one long name both ends stay, and names that differ in either stay apart", () => {
  expect(fittedText(widthOf, "layer-0-with-a-long-name", 12)).toBe("layer-…-name");
  expect(fittedText(widthOf, "loop/layer-0-with-a-long-name", 12)).toBe("layer-…-name");
  const [one, other] = ["layer-0-with-a-long-name", "layer-1-with-a-long-name"].map((name) =>
    fittedText(widthOf, name, 17),
  );
  expect(one).not.toBe(other);
});

it("no room gives no more than the dots", () => {
  expect(fittedText(widthOf, "train", 1)).toBe("…");
});
