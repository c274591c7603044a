import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type BlockSchema, WorkflowDefinitionSchema } from "../../gen/kaonapi/workflow/v1/definition_pb";
import { drawn } from "../canvas/folding";
import { layoutKey, layoutRequest } from "../canvas/request";
import { blockNames, graphModel } from "./graph";

type BlockInit = MessageInitShape<typeof BlockSchema>;

function step(name: string): BlockInit {
  return { name, kind: { case: "step", value: { type: "python" } } };
}

function definition(blocks: BlockInit[], edges: [string, string][] = []) {
  return create(WorkflowDefinitionSchema, {
    name: "w",
    body: { blocks, edges: edges.map(([source, target]) => ({ source, target })) },
  });
}

const TOUR = definition(
  [
    step("load"),
    {
      name: "cycle",
      kind: {
        case: "repeat",
        value: {
          until: { source: { case: "output", value: { step: "check", output: "good" } } },
          maxIterations: 5,
          body: {
            blocks: [
              {
                name: "regions",
                kind: {
                  case: "forEach",
                  value: { item: "region", maxConcurrency: 4, body: { blocks: [step("train")] } },
                },
              },
              step("check"),
            ],
            edges: [{ source: "regions", target: "check" }],
          },
        },
      },
    },
    {
      name: "choose",
      kind: {
        case: "branch",
        value: {
          cases: [
            {
              condition: { source: { case: "expression", value: { cel: "score > 0.9" } } },
              body: { blocks: [step("big")] },
            },
          ],
          otherwise: { blocks: [step("small")] },
        },
      },
    },
    { name: "agreed", kind: { case: "gate", value: { kind: { case: "approval", value: { message: "Publish?" } } } } },
  ],
  [
    ["load", "cycle"],
    ["cycle", "choose"],
    ["choose", "agreed"],
  ],
);

describe("graphModel", () => {
  const model = graphModel(TOUR);

  it("makes one node of a foreach, a repeat and each way of a branch a scope", () => {
    expect([...model.byName.keys()]).toEqual([
      "load",
      "cycle",
      "regions",
      "train",
      "check",
      "choose",
      "big",
      "small",
      "agreed",
    ]);
    expect(model.byName.get("choose")?.scopes.map((scope) => scope.label)).toEqual(["score > 0.9", "otherwise"]);
    expect(model.byName.get("train")?.depth).toBe(2);
    expect(model.byName.get("train")?.parent?.name).toBe("regions");
  });

  it("says in words what a block does", () => {
    expect(model.byName.get("cycle")?.detail).toBe("until check.good, at most 5");
    expect(model.byName.get("regions")?.detail).toBe("each region, 4 at once");
    expect(model.byName.get("agreed")?.detail).toBe("Publish?");
  });

  it("stops at its bound and says what is left out", () => {
    const large = graphModel(
      definition(
        Array.from({ length: 100 }, (_, at) => step(`s${at}`)),
        [["s0", "s99"]],
      ),
      10,
    );
    expect(large.byName.size).toBe(10);
    expect(large.omitted).toBe(90);
    expect(large.root.edges).toEqual([]);
  });
});

describe("drawn", () => {
  const model = graphModel(TOUR);
  const names = (zoom: number, closed: string[] = [], limit?: number) => {
    const seen = drawn(model, zoom, new Set(closed), limit);
    return { nodes: seen.nodes.map((node) => node.name), folded: [...seen.folded] };
  };

  it("shows everything when it can be read, and folds inner scopes first when zoomed out", () => {
    expect(names(1).nodes).toHaveLength(9);
    expect(names(0.3)).toEqual({
      nodes: ["load", "cycle", "choose", "agreed", "regions", "check", "big", "small"],
      folded: ["regions"],
    });
    expect(names(0.1)).toEqual({ nodes: ["load", "cycle", "choose", "agreed"], folded: ["cycle", "choose"] });
  });

  it("folds what is closed by hand, and what would be too much for the page", () => {
    expect(names(1, ["cycle"]).nodes).not.toContain("check");
    expect(names(1, [], 6).folded).toEqual(["choose", "regions"]);
  });
});

it("asks for the layout without what is closed, under a key of its own", () => {
  const model = graphModel(TOUR);
  const open = layoutRequest(model, new Set());
  const closed = layoutRequest(model, new Set(["cycle"]));
  expect(open.nodes[1]?.scopes).toHaveLength(1);
  expect(closed.nodes[1]?.scopes).toHaveLength(0);
  expect(layoutKey("sha256:1", new Set(["b", "a"]), "LR")).toBe("sha256:1|LR|a,b");
});

/** A hundred groups of a hundred steps, each after the one before it. */
const LARGE = definition(
  Array.from(
    { length: 100 },
    (_, group): BlockInit => ({
      name: `g${group}`,
      kind: {
        case: "group",
        value: { body: { blocks: Array.from({ length: 100 }, (_, at) => step(`g${group}s${at}`)) } },
      },
    }),
  ),
  Array.from({ length: 99 }, (_, at): [string, string] => [`g${at}`, `g${at + 1}`]),
);

it("draws the part of a large definition that is looked for, in the order of the definition", () => {
  const beginning = graphModel(LARGE, 2_000);
  expect(beginning.byName.size + beginning.omitted).toBe(10_100);
  expect(beginning.byName.has("g0s0")).toBe(true);
  expect(beginning.byName.has("g57s50")).toBe(false);
  const part = graphModel(LARGE, 2_000, undefined, "g57s50");
  expect(part.byName.size + part.omitted).toBe(10_100);
  const names = part.root.nodes.map(({ name }) => Number(name.slice(1)));
  expect(names).toEqual([...names].sort((one, other) => one - other));
  expect(part.byName.get("g57s50")?.parent?.name).toBe("g57");
  // With what stands right before it and after it.
  for (const name of ["g57s40", "g57s60", "g56", "g58"]) expect(part.byName.has(name), name).toBe(true);
  // It is seen, however much else is folded.
  const seen = drawn(part, 1, new Set(), 300, part.byName.get("g57s50"));
  expect(seen.nodes.some(({ name }) => name === "g57s50")).toBe(true);
  expect(seen.folded.has("g56")).toBe(true);
  expect(blockNames(LARGE)).toHaveLength(10_100);
  expect(graphModel(LARGE, 2_000, undefined, "nothing").byName.has("g0s0")).toBe(true);
});
