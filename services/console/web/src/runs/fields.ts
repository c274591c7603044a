/** What runs can be filtered by besides status, time and text. */
export const FIELDS = ["workflow", "label", "submitter", "origin", "late", "quarantined"] as const;
export type Field = (typeof FIELDS)[number];
export const FIELD_NAMES: Readonly<Record<Field, string>> = {
  workflow: "Workflow",
  label: "Label",
  submitter: "Submitter",
  origin: "Origin",
  late: "Late runs",
  quarantined: "Quarantined runs",
};
export const PLACEHOLDERS: Readonly<Record<Field, string>> = {
  workflow: "",
  label: "name=value, or name",
  submitter: "Name of a principal",
  origin: "manual, schedule:, backfill:",
  late: "",
  quarantined: "",
};
