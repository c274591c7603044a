import { shown } from "../../common/text";
import classes from "./Markdown.module.css";
import { BLOCKS, type Block, type Inline, parseMarkdown } from "./markdown";
import { Rows } from "./Rows";

/** A report in Markdown, as text nodes: nothing in it is a link, an image or an element of its own. */
export function Markdown({ text }: { text: string }) {
  const blocks = parseMarkdown(text);
  return (
    <div className={classes.text}>
      {blocks.map((block, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: blocks have no names, and the text never changes.
        <BlockOf key={at} block={block} />
      ))}
      {blocks.length >= BLOCKS && <p className={classes.note}>The rest is not shown: save it to read on.</p>}
    </div>
  );
}

function BlockOf({ block }: { block: Block }) {
  switch (block.kind) {
    case "heading":
      return (
        // Below the titles of the page, however it is numbered in the report.
        <div
          className={classes.heading}
          role="heading"
          aria-level={Math.min(6, block.level + 2)}
          data-level={block.level}
        >
          <Text parts={block.text} />
        </div>
      );
    case "list":
      return (
        <ul className={classes.list} data-ordered={block.ordered}>
          {block.items.map(({ depth, text }, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: items have no names.
            <li key={at} style={{ marginLeft: depth * 18 }}>
              <Text parts={text} />
            </li>
          ))}
        </ul>
      );
    case "code":
      return <pre className={classes.code}>{shown(block.text)}</pre>;
    case "table":
      return <Rows columns={block.columns} rows={block.rows} />;
    case "rule":
      return <hr className={classes.rule} />;
    case "quote":
      return (
        <blockquote className={classes.quote}>
          <Text parts={block.text} />
        </blockquote>
      );
    case "paragraph":
      return (
        <p>
          <Text parts={block.text} />
        </p>
      );
  }
}

function Text({ parts }: { parts: readonly Inline[] }) {
  return parts.map((part, at) => {
    const text = shown(part.text);
    // biome-ignore-start lint/suspicious/noArrayIndexKey: parts have no names, and the text never changes.
    switch (part.kind) {
      case "code":
        return <code key={at}>{text}</code>;
      case "strong":
        return <strong key={at}>{text}</strong>;
      case "em":
        return <em key={at}>{text}</em>;
      case "link":
        return (
          <span key={at}>
            {text} <span className={classes.to}>({shown(part.to)})</span>
          </span>
        );
      default:
        return text;
    }
    // biome-ignore-end lint/suspicious/noArrayIndexKey: see above.
  });
}
