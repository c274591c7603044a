import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import {
  BlockEndKind,
  Occasion,
  Phase,
  SubmitStrategy,
  TriggerRule,
  ValueType,
  WorkflowDefinitionSchema,
} from "../../gen/kaonapi/workflow/v1/definition_pb";
import { writeDefinition } from "./python";

it("writes a definition as somebody would write it", () => {
  const definition = create(WorkflowDefinitionSchema, {
    name: "tour",
    parameters: [{ name: "count", type: ValueType.INT, defaultJson: "3", choicesJson: [] }],
    body: {
      blocks: [
        {
          name: "split",
          kind: {
            case: "step",
            value: {
              type: "python",
              configJson: '{"warm":true}',
              inputs: { count: { source: { case: "parameter", value: "count" } } },
              outputs: { regions: ValueType.LIST },
              datasets: { ratings: "", users: "all" },
            },
          },
          bound: { "step.datasets.ratings": { source: { case: "parameter", value: "count" } } },
        },
        {
          name: "train-all",
          timeoutMs: 7_200_000n,
          kind: {
            case: "forEach",
            value: {
              item: "region",
              maxConcurrency: 4,
              items: { source: { case: "output", value: { step: "split", output: "regions" } } },
              body: {
                blocks: [
                  {
                    name: "train",
                    kind: {
                      case: "step",
                      value: { type: "python", inputs: { region: { source: { case: "item", value: "region" } } } },
                    },
                  },
                ],
              },
            },
          },
        },
        { name: "report", trigger: TriggerRule.ALL_DONE, kind: { case: "step", value: { type: "shell" } } },
        { name: "alert", phase: Phase.ON_FAILURE, kind: { case: "step", value: { type: "shell" } } },
      ],
      edges: [
        { source: "split", target: "train-all" },
        { source: "train-all", target: "report" },
      ],
    },
  });
  expect(writeDefinition(definition).text).toBe(`from kaon import *

count = param("count", int, default=3)

split = steps.python(
    "split",
    warm=True,
    count=count,
    outputs={"regions": list},
    produces=[dataset("ratings", partition=count), dataset("users", partition="all")],
)
region = each("region", split["regions"], max_concurrency=4, name="train-all", timeout="2h")
train = steps.python("train", region=region)
train_all = train**region
report = steps.shell("report").when_all_done()
alert = steps.shell("alert")

workflow = Workflow("tour", split >> train_all >> report, parameters=[count], on_failure=alert)
`);
});

it("writes when a step starts by how others have ended", () => {
  const end = (block: string, kind: BlockEndKind) => ({ kind: { case: "end" as const, value: { block, kind } } });
  const step = { kind: { case: "step" as const, value: { type: "shell" } } };
  const either = [end("a", BlockEndKind.FAILED), end("b-2", BlockEndKind.SUCCEEDED)];
  const conditions = [
    end("load", BlockEndKind.SUCCEEDED),
    { kind: { case: "any" as const, value: { conditions: either } } },
  ];
  const train = {
    name: "train",
    trigger: TriggerRule.CONDITION,
    start: { kind: { case: "all" as const, value: { conditions } } },
    ...step,
  };
  const before = ["load", "a", "b-2"].map((name) => ({ name, ...step }));
  const edges = before.map((each) => ({ source: each.name, target: "train" }));
  const definition = create(WorkflowDefinitionSchema, { name: "w", body: { blocks: [...before, train], edges } });
  expect(writeDefinition(definition).text).toContain(
    'train = steps.shell("train").when(load.succeeded & (a.failed | b_2.succeeded))',
  );
});

it("keeps text of strangers within its quotes", () => {
  const definition = create(WorkflowDefinitionSchema, {
    name: 'x"\n)',
    body: {
      blocks: [
        {
          name: "a",
          kind: { case: "gate", value: { kind: { case: "approval", value: { message: '"]);\nimport os' } } } },
        },
      ],
    },
  });
  const text = writeDefinition(definition).text;
  expect(text).toContain('message="\\"]);\\nimport os"');
  expect(text).toContain('Workflow("x\\"\\n)", a)');
});

it("writes a gate that waits for a run", () => {
  const run = {
    workflow: "daily-sales",
    params: { day: { source: { case: "parameter" as const, value: "day" } } },
    maxAgeMs: 86_400_000n,
    noWait: true,
  };
  const definition = create(WorkflowDefinitionSchema, {
    name: "w",
    body: { blocks: [{ name: "sales", kind: { case: "gate", value: { kind: { case: "run", value: run } } } }] },
  });
  expect(writeDefinition(definition).text).toContain(
    'sales = last_run("sales", "daily-sales", params={"day": day}, max_age="1d", wait=False)',
  );
});

it("writes a part of a definition that is too large, and says so", () => {
  const blocks = Array.from({ length: 10_000 }, (_, at) => ({
    name: `s${at}`,
    kind: { case: "step" as const, value: { type: "python" } },
  }));
  expect(writeDefinition(create(WorkflowDefinitionSchema, { name: "big", body: { blocks } })).omitted).toBe(7_000);
});

it("writes whom the workflow notifies", () => {
  const definition = create(WorkflowDefinitionSchema, {
    name: "w",
    notifications: [
      { on: [Occasion.FAILED, Occasion.LATE], channel: "ops" },
      { on: [Occasion.WAITING], channel: "reviewers" },
    ],
  });
  expect(writeDefinition(definition).text).toContain(
    'notify=[notify("failed", "late", to="ops"), notify("waiting", to="reviewers")]',
  );
});

it("writes policies that are values of the run", () => {
  const parameter = (value: string) => ({ source: { case: "parameter" as const, value } });
  const definition = create(WorkflowDefinitionSchema, {
    name: "w",
    body: {
      blocks: [
        {
          name: "a",
          bound: {
            "step.timeout_ms": parameter("limit"),
            "step.retry.max_attempts": parameter("n"),
            "step.resources.gpu": parameter("gpus"),
          },
          kind: { case: "step", value: { type: "shell" } },
        },
        {
          name: "b",
          bound: { "sub_workflow.workflow": parameter("which") },
          kind: { case: "subWorkflow", value: {} },
        },
      ],
    },
  });
  const written = writeDefinition(definition).text;
  expect(written).toContain("timeout=limit, retry=Retry(max_attempts=n), resources=Resources(gpu=gpus)");
  expect(written).toContain('sub_workflow("b", workflow=which)');
});

it("writes what blocks hold", () => {
  const definition = create(WorkflowDefinitionSchema, {
    name: "w",
    body: {
      blocks: [
        {
          name: "a",
          locks: [
            { name: "hall", key: { source: { case: "parameter", value: "day" } } },
            { name: "seat", limit: 3 },
          ],
          kind: { case: "step", value: { type: "shell" } },
        },
      ],
    },
  });
  expect(writeDefinition(definition).text).toContain('locks=[mutex("hall", key=day), semaphore("seat", 3)]');
});

it("names the submit strategy", () => {
  const definition = create(WorkflowDefinitionSchema, { name: "daily", strategy: SubmitStrategy.LAST_ONLY });
  expect(writeDefinition(definition).text).toContain('Workflow("daily", None, strategy="last-only")');
});

it("writes values under names that Python or an option has as a dict", () => {
  const parameter = (value: string) => ({ source: { case: "parameter" as const, value } });
  const written = writeDefinition(
    create(WorkflowDefinitionSchema, {
      name: "w",
      body: {
        blocks: [
          {
            name: "a",
            kind: {
              case: "subWorkflow",
              value: {
                workflow: "other",
                version: `sha256:${"0".repeat(64)}`,
                params: { day: parameter("day"), timeout: parameter("limit"), class: parameter("kind") },
                outputs: { rmse: ValueType.FLOAT },
              },
            },
          },
          {
            name: "b",
            kind: {
              case: "step",
              value: { type: "python", inputs: { rows: parameter("rows"), retry: parameter("again") } },
            },
          },
        ],
      },
    }),
  ).text;
  const wanted = `day=day, params={"timeout": limit, "class": kind}, version="sha256:${"0".repeat(64)}", outputs={"rmse": float}`;
  expect(written.replaceAll(/\s+/g, " ").replaceAll("( ", "(")).toContain(wanted);
  expect(written).toContain('rows=rows, inputs={"retry": again}');
});

it("writes which signals a gate takes", () => {
  const definition = create(WorkflowDefinitionSchema, {
    name: "daily",
    body: {
      blocks: [
        {
          name: "ask",
          kind: {
            case: "gate",
            value: {
              kind: { case: "signal", value: { name: "ratings", whereCel: "payload.day == params.day" } },
            },
          },
        },
      ],
    },
  });
  expect(writeDefinition(definition).text).toContain(
    'ask = signal("ask", signal="ratings", where="payload.day == params.day")',
  );
});
