/** What runs can be filtered by besides status, time and text. */
export const FIELDS = ["workflow", "label", "param", "submitter", "origin", "parent", "late", "quarantined"] as const;
export type Field = (typeof FIELDS)[number];
export const FIELD_NAMES: Readonly<Record<Field, string>> = {
  workflow: "Workflow",
  label: "Label",
  param: "Parameter",
  submitter: "Submitter",
  origin: "Origin",
  parent: "Parent run",
  late: "Late runs",
  quarantined: "Quarantined runs",
};
export const PLACEHOLDERS: Readonly<Record<Field, string>> = {
  workflow: "",
  label: "name=value, or name",
  param: "name=value, such as rate=0.1",
  submitter: "Name of a principal",
  origin: "manual, schedule:, backfill:",
  parent: "Id of the run that holds them",
  late: "",
  quarantined: "",
};
