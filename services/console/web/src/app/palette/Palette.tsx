import { Modal } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { type KeyboardEvent, useEffect, useId, useMemo, useRef, useState } from "react";
import { useReturnedFocus } from "../../common/focus";
import { shown } from "../../common/text";
import { Keys } from "../keys/Keys";
import { type PaletteEntry, usePaletteEntries } from "./entries";
import { matching } from "./match";
import classes from "./Palette.module.css";

/** Finds pages, runs, workflows and commands by a few letters. */
export function Palette({ onClose }: { onClose: () => void }) {
  useReturnedFocus();
  return (
    <Modal.Root
      opened
      onClose={onClose}
      size={620}
      yOffset="12vh"
      padding={0}
      classNames={{ content: classes.content }}
    >
      <Modal.Overlay backgroundOpacity={0.45} />
      <Modal.Content aria-label="Command palette">
        <PaletteBody onClose={onClose} />
      </Modal.Content>
    </Modal.Root>
  );
}

function PaletteBody({ onClose }: { onClose: () => void }) {
  const [query, setQuery] = useState("");
  const [active, setActive] = useState(0);
  const listId = useId();
  const entries = usePaletteEntries(query);
  const groups = useMemo(() => matching(entries, query), [entries, query]);
  const flat = groups.flatMap(([, found]) => found);
  const current = Math.min(active, flat.length - 1);

  const choose = (entry: PaletteEntry | undefined) => {
    if (!entry) return;
    onClose();
    entry.run();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && flat.length > 0) setActive((current + step + flat.length) % flat.length);
    else if (event.key === "Enter") choose(flat[current]);
    else return;
    event.preventDefault();
  };

  return (
    <>
      <div className={classes.search}>
        <IconSearch size={16} stroke={1.75} aria-hidden="true" />
        <input
          className={classes.input}
          value={query}
          onChange={(event) => {
            setQuery(event.currentTarget.value);
            setActive(0);
          }}
          onKeyDown={onKeyDown}
          placeholder="Go to a page, a run, a workflow, or do something"
          role="combobox"
          aria-expanded="true"
          aria-controls={listId}
          aria-activedescendant={flat[current] ? `${listId}-${flat[current].id}` : undefined}
          aria-label="Search"
          autoComplete="off"
          spellCheck={false}
          data-autofocus
        />
        <Keys keys="escape" />
      </div>
      <div className={classes.list} id={listId} role="listbox" aria-label="Results">
        {groups.map(([group, found]) => (
          <Group key={group} name={group}>
            {found.map((entry) => (
              <Option
                key={entry.id}
                id={`${listId}-${entry.id}`}
                entry={entry}
                active={entry === flat[current]}
                onHover={() => setActive(flat.indexOf(entry))}
                onChoose={() => choose(entry)}
              />
            ))}
          </Group>
        ))}
        {flat.length === 0 && <div className={classes.none}>Nothing is called “{shown(query)}”.</div>}
      </div>
    </>
  );
}

function Group({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div role="group" aria-label={name}>
      <div className={classes.group} aria-hidden="true">
        {name}
      </div>
      {children}
    </div>
  );
}

interface OptionProps {
  id: string;
  entry: PaletteEntry;
  active: boolean;
  onHover: () => void;
  onChoose: () => void;
}

function Option({ id, entry, active, onHover, onChoose }: OptionProps) {
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (active) element.current?.scrollIntoView({ block: "nearest" });
  }, [active]);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the keys of the list are those of its field
    <div
      ref={element}
      id={id}
      role="option"
      aria-selected={active}
      className={classes.option}
      onMouseMove={onHover}
      onClick={onChoose}
    >
      <span className={classes.mark}>{entry.mark}</span>
      <span className={classes.title}>
        {shown(entry.title)}
        {entry.code !== undefined && (
          <>
            {" "}
            <code>{entry.code}</code>
          </>
        )}
      </span>
      {entry.keys ? <Keys keys={entry.keys} /> : <span className={classes.hint}>{entry.hint}</span>}
    </div>
  );
}
