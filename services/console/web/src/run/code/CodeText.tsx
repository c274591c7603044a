import {
  foldGutter,
  foldInside,
  foldNodeProp,
  HighlightStyle,
  LRLanguage,
  syntaxHighlighting,
} from "@codemirror/language";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { parser } from "@lezer/python";
import { useEffect, useRef } from "react";
import { nonce } from "../../common/nonce";
import classes from "./CodeView.module.css";

/** Python to read: the grammar alone, without what completes and indents while one writes. */
const PYTHON = LRLanguage.define({
  name: "python",
  parser: parser.configure({
    props: [
      foldNodeProp.add({ "ArgList ArrayExpression DictionaryExpression SetExpression TupleExpression": foldInside }),
    ],
  }),
});

/** A colour of a shape, made darker or lighter until letters can be read in it. */
const readable = (color: string) => `color-mix(in srgb, var(${color}) 65%, var(--text))`;

const COLORS = HighlightStyle.define([
  { tag: [tags.keyword, tags.operator], color: "var(--accent)" },
  { tag: tags.string, color: readable("--status-done") },
  { tag: [tags.number, tags.bool, tags.null], color: readable("--status-running") },
  { tag: tags.comment, color: "var(--text-faint)", fontStyle: "italic" },
  { tag: [tags.function(tags.variableName), tags.propertyName], color: readable("--status-waiting") },
]);

const LOOK = EditorView.theme({
  "&": { height: "100%", fontSize: "12.5px", backgroundColor: "transparent", color: "var(--text)" },
  ".cm-scroller": { fontFamily: "var(--font-mono)", lineHeight: "1.6" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--text-faint)", border: "none" },
  ".cm-content": { padding: "12px 0" },
  "&.cm-focused": { outline: "none" },
  ".cm-selectionBackground": { backgroundColor: "var(--accent-ground) !important" },
});

/** Text that is read, not written. */
export function CodeText({ text }: { text: string }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!place.current) return;
    const view = new EditorView({
      parent: place.current,
      state: EditorState.create({
        doc: text,
        extensions: [
          ...(nonce ? [EditorView.cspNonce.of(nonce)] : []),
          lineNumbers(),
          foldGutter(),
          drawSelection(),
          PYTHON,
          syntaxHighlighting(COLORS),
          LOOK,
          EditorState.readOnly.of(true),
          EditorView.contentAttributes.of({ "aria-label": "Definition", "aria-readonly": "true", tabindex: "0" }),
        ],
      }),
    });
    return () => view.destroy();
  }, [text]);
  return <div ref={place} className={classes.text} />;
}
