import { Menu, SegmentedControl, useMantineColorScheme } from "@mantine/core";
import { IconLogout } from "@tabler/icons-react";
import type { Session } from "../api/session";
import { shown } from "../common/text";
import type { Zone } from "../common/time";
import { useZone, zoneStore } from "../common/zone";
import classes from "./Account.module.css";
import { AccountButton } from "./AccountButton";
import { signOutHere } from "./leave";

/** The menu at one's name. It opens when it comes: somebody has asked for it. */
export function AccountMenu({ session }: { session: Session }) {
  return (
    <Menu position="top-start" width={260} withinPortal defaultOpened>
      <Menu.Target>
        <AccountButton session={session} />
      </Menu.Target>
      <Menu.Dropdown>
        <Settings session={session} />
        <Menu.Divider />
        <Menu.Item leftSection={<IconLogout size={14} stroke={1.75} />} onClick={() => void signOutHere()}>
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

function Settings({ session }: { session: Session }) {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const zone = useZone();
  return (
    <div className={classes.settings}>
      <dl className={classes.facts}>
        <dt>Tenant</dt>
        <dd>{shown(session.tenant)}</dd>
        <dt>Roles</dt>
        <dd>{session.roles.length === 0 ? "none" : shown(session.roles.join(", "))}</dd>
        <dt>Version</dt>
        <dd>{shown(session.version)}</dd>
      </dl>
      <div className={classes.setting}>
        <span id="setting-zone">Times</span>
        <SegmentedControl
          aria-labelledby="setting-zone"
          value={zone}
          onChange={(value) => zoneStore.set(value as Zone)}
          data={[
            { value: "local", label: "Local" },
            { value: "utc", label: "UTC" },
          ]}
        />
      </div>
      <div className={classes.setting}>
        <span id="setting-colours">Colours</span>
        <SegmentedControl
          aria-labelledby="setting-colours"
          value={colorScheme}
          onChange={(value) => setColorScheme(value as typeof colorScheme)}
          data={[
            { value: "light", label: "Light" },
            { value: "dark", label: "Dark" },
            { value: "auto", label: "System" },
          ]}
        />
      </div>
    </div>
  );
}
