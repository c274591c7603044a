import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { type Parameter, ParameterSchema, ValueType } from "../gen/kaonapi/workflow/v1/definition_pb";
import {
  controlOf,
  draftOf,
  encodeDraft,
  encodeField,
  fieldText,
  localTime,
  NULL,
  problemsByField,
  recentValues,
  requiredFirst,
  textsOf,
  typeName,
  zonedTime,
} from "./form";

function parameter(
  type: ValueType,
  more: { name?: string; defaultJson?: string; choicesJson?: string[] } = {},
): Parameter {
  return create(ParameterSchema, { name: "x", type, ...more });
}

test.each([
  [ValueType.STRING, 'a "b"', '"a \\"b\\""'],
  [ValueType.STRING, "", '""'],
  [ValueType.INT, "90071992547409931", "90071992547409931"],
  [ValueType.FLOAT, "1e-3", "1e-3"],
  [ValueType.BOOL, "true", "true"],
  [ValueType.DATE, "2024-02-29", '"2024-02-29"'],
  [ValueType.DATETIME, "2026-11-24T06:00:00+01:00", '"2026-11-24T06:00:00+01:00"'],
  [ValueType.DURATION, "1h30m", '"1h30m"'],
  [ValueType.LIST, " [1] ", "[1]"],
  [ValueType.MAP, '{"a":1}', '{"a":1}'],
  [ValueType.ANY, "null", "null"],
])("type %d takes %j", (type, text, json) => {
  expect(encodeField(parameter(type), text)).toEqual({ json });
});

test.each([
  [ValueType.INT, "1.5"],
  [ValueType.INT, "01"],
  [ValueType.FLOAT, "1e999"],
  [ValueType.FLOAT, "NaN"],
  [ValueType.BOOL, "yes"],
  [ValueType.DATETIME, "2026-11-24T06:00:00"],
  [ValueType.DATETIME, "2026-02-30T06:00:00Z"],
  [ValueType.DURATION, "5 minutes"],
  [ValueType.DATE, "2023-02-29"],
  [ValueType.DATE, "2023-2-9"],
  [ValueType.LIST, "{}"],
  [ValueType.MAP, "[]"],
  [ValueType.MAP, "null"],
  [ValueType.ANY, "{"],
])("type %d refuses %j", (type, text) => {
  expect(encodeField(parameter(type), text)).toHaveProperty("problem");
});

test("what is not typed has its default, and needs a value where there is none", () => {
  expect(encodeField(parameter(ValueType.INT, { defaultJson: "3" }), undefined)).toBeUndefined();
  expect(encodeField(parameter(ValueType.INT, { defaultJson: "3" }), " ")).toBeUndefined();
  expect(encodeField(parameter(ValueType.INT), undefined)).toEqual({ problem: "Needs a value" });
});

test("a draft gives what to send and what is wrong", () => {
  const parameters = [parameter(ValueType.INT), parameter(ValueType.STRING, { name: "y", defaultJson: '"d"' })];
  expect(encodeDraft(parameters, { x: "1" })).toEqual({ params: { x: "1" }, problems: {} });
  expect(encodeDraft(parameters, { x: "one", y: "z" })).toMatchObject({
    params: { y: '"z"' },
    problems: { x: expect.any(String) },
  });
});

test("the values of a run become a draft, without what is the default anyway", () => {
  const parameters = [parameter(ValueType.STRING, { defaultJson: '"a"' }), parameter(ValueType.INT, { name: "y" })];
  expect(draftOf(parameters, { x: '"a"', y: "2", gone: "1" })).toEqual({ y: "2" });
});

test("recent values come once each, and not the one that stands", () => {
  const runs = ['"a"', '"b"', '"a"', '"c"'].map((json) => ({ paramsJson: { x: json } }));
  expect(recentValues(parameter(ValueType.STRING), runs, "b")).toEqual(["a", "c"]);
});

test("choices have a list, and texts stand without quotes", () => {
  expect(controlOf(parameter(ValueType.STRING, { choicesJson: ['"a"'] }))).toBe("choice");
  expect(fieldText(parameter(ValueType.STRING), '"a\\nb"')).toBe("a\nb");
  expect(fieldText(parameter(ValueType.INT), "3")).toBe("3");
});

test("the server's problems go to their fields", () => {
  expect(
    problemsByField([
      { field: "params_json[a]", text: "bad" },
      { field: "labels", text: "many" },
    ]),
  ).toEqual({ a: "bad", "": "many" });
});

test("what may be null is null when nothing is typed, and can be set to it", () => {
  const limit = create(ParameterSchema, { name: "x", type: ValueType.INT, optional: true });
  expect(encodeField(limit, undefined)).toBeUndefined();
  expect(encodeField(limit, NULL)).toEqual({ json: "null" });
  expect(fieldText(limit, "null")).toBe(NULL);
  expect(encodeField(parameter(ValueType.INT), NULL)).toHaveProperty("problem");
  expect(typeName(limit)).toBe("integer, or null");
});

test("lists of texts have fields of their own, with choices where there are some", () => {
  const days = (choicesJson: string[]) =>
    create(ParameterSchema, { name: "x", type: ValueType.LIST, of: { type: ValueType.DATE, choicesJson } });
  expect(controlOf(days([]))).toBe("texts");
  expect(controlOf(days(['"2026-11-24"']))).toBe("choices");
  expect(textsOf('["a","b"]')).toEqual(["a", "b"]);
  expect(typeName(days([]))).toBe("list of: date");
});

test("a time is typed in the browser's zone and sent with its own", () => {
  const zoned = "2026-11-24T06:00:00Z";
  expect(zonedTime(localTime(zoned))).toBe(zoned);
  expect(localTime("")).toBe("");
  expect(zonedTime("")).toBe("");
});

test("what has to be filled in stands first", () => {
  const all = [
    parameter(ValueType.INT, { name: "count", defaultJson: "3" }),
    parameter(ValueType.STRING, { name: "table" }),
    parameter(ValueType.BOOL, { name: "dry", defaultJson: "false" }),
    parameter(ValueType.DATE, { name: "start" }),
  ];
  expect(requiredFirst(all).map(({ name }) => name)).toEqual(["table", "start", "count", "dry"]);
});
