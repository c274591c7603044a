import { Menu, SegmentedControl, useMantineColorScheme, VisuallyHidden } from "@mantine/core";
import { IconLogout, IconSelector } from "@tabler/icons-react";
import type { Session } from "../api/session";
import { shown } from "../shared/text";
import type { Zone } from "../shared/time";
import { useZone, zoneStore } from "../shared/zone";
import classes from "./Account.module.css";
import { signOutHere } from "./leave";

/** Who is signed in, how times and colours are shown, and the way out. */
export function Account({ session }: { session: Session }) {
  return (
    <Menu position="top-start" width={260} withinPortal>
      <Menu.Target>
        <button type="button" className={classes.button}>
          <VisuallyHidden>Account and settings of </VisuallyHidden>
          <span className={classes.avatar} aria-hidden="true">
            {[...session.name][0]?.toUpperCase() ?? "?"}
          </span>
          <span className={classes.names}>
            <span className={classes.name}>{shown(session.name)}</span>
            <span className={classes.tenant}>{shown(session.tenant)}</span>
          </span>
          <IconSelector size={14} stroke={1.75} aria-hidden="true" />
        </button>
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
