import { Menu } from "@mantine/core";
import { useOpensOnDemand } from "../common/OnDemand";
import { ColumnButton } from "./ColumnButton";
import { COLUMNS, toggleColumn, useColumns } from "./columns";

/** Chooses the columns of the table. It opens when it comes: somebody has asked for it. */
export function ColumnMenu() {
  const { opened, change, button } = useOpensOnDemand();
  const shownIds = new Set(useColumns().map(({ id }) => id));
  return (
    <Menu closeOnItemClick={false} position="bottom-end" opened={opened} onChange={change}>
      <Menu.Target>
        <ColumnButton ref={button} />
      </Menu.Target>
      <Menu.Dropdown>
        {COLUMNS.map(({ id, title }) => (
          <Menu.CheckboxItem key={id} checked={shownIds.has(id)} onChange={() => toggleColumn(id)}>
            {title}
          </Menu.CheckboxItem>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
