import { Code } from "@connectrpc/connect";

/** The code of a status that is named as text, such as "NOT_FOUND" or "not_found". */
export function codeNamed(status: string): Code {
  const name = status
    .toLowerCase()
    .split("_")
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join("");
  const code = Code[name as keyof typeof Code];
  return typeof code === "number" ? code : Code.Unknown;
}
