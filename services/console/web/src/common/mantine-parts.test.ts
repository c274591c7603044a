import { existsSync, readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const STYLES = "node_modules/@mantine/core/styles";

/** What the styles of a component build on, where they have no file of their own. */
const BUILT_ON: Readonly<Record<string, readonly string[]>> = {
  Select: ["Combobox", "Input"],
  MultiSelect: ["Combobox", "Input", "PillsInput"],
  Autocomplete: ["Combobox", "Input"],
  TagsInput: ["Combobox", "Input", "PillsInput", "Pill"],
  TextInput: ["Input"],
  Textarea: ["Input"],
  JsonInput: ["Input"],
  NativeSelect: ["Input"],
};

function usedComponents(): Set<string> {
  const used = new Set<string>();
  const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".tsx"));
  for (const file of files) {
    for (const [, names] of readFileSync(`src/${file}`, "utf8").matchAll(/import \{([^}]*)\} from "@mantine\/core"/g)) {
      for (const name of names!.match(/\b[A-Z]\w+/g) ?? []) used.add(name);
    }
  }
  return used;
}

test("every component of Mantine that a page uses has its styles", () => {
  const sheet = readFileSync("src/common/mantine-parts.css", "utf8");
  const wanted = [...usedComponents()].flatMap((name) => BUILT_ON[name] ?? [name]);
  const missing = wanted.filter((name) => existsSync(`${STYLES}/${name}.css`) && !sheet.includes(`/${name}.css`));
  expect(missing).toEqual([]);
});
