import { shown } from "../../common/text";
import classes from "./Outputs.module.css";

const NUMBER = /^(-?\d+(\.\d+)?(e[+-]?\d+)?|)$/i;

interface Props {
  columns: readonly string[];
  rows: readonly (readonly string[])[];
}

/** A table of texts; columns of numbers stand at their right end. */
export function Rows({ columns, rows }: Props) {
  const numbers = columns.map((_, at) => rows.every((row) => NUMBER.test(row[at] ?? "")));
  return (
    <table className={classes.table}>
      <thead>
        <tr>
          {columns.map((column, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: columns may have equal names.
            <th key={at} data-number={numbers[at]}>
              {shown(column)}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row, at) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: rows have no names.
          <tr key={at}>
            {row.map((field, column) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: fields stand under their columns.
              <td key={column} data-number={numbers[column]}>
                {shown(field.slice(0, 400))}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
