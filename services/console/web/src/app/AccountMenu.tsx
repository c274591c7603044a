import { Button, Popover, SegmentedControl, useMantineColorScheme } from "@mantine/core";
import { IconLogout } from "@tabler/icons-react";
import type { Session } from "../api/session";
import { useOpensOnDemand } from "../common/OnDemand";
import { shown } from "../common/text";
import type { Zone } from "../common/time";
import { useZone, zoneStore } from "../common/zone";
import classes from "./Account.module.css";
import { AccountButton } from "./AccountButton";
import { signOutHere } from "./leave";

/** What stands at one's name: more than the items that a menu has. It opens when it comes: somebody has asked for it. */
export function AccountMenu({ session }: { session: Session }) {
  const { opened, change, button } = useOpensOnDemand();
  return (
    <Popover position="top-start" width={260} shadow="md" opened={opened} onChange={change} trapFocus returnFocus>
      <Popover.Target>
        <AccountButton session={session} ref={button} onClick={() => change(!opened)} />
      </Popover.Target>
      <Popover.Dropdown p={4}>
        <Settings session={session} />
        <Button
          variant="subtle"
          color="gray"
          fullWidth
          justify="flex-start"
          leftSection={<IconLogout size={14} stroke={1.75} />}
          onClick={() => void signOutHere()}
        >
          Sign out
        </Button>
      </Popover.Dropdown>
    </Popover>
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
