import classes from "./ListHead.module.css";

interface Props {
  /** The class that gives the rows of the list their columns. */
  className: string | undefined;
  titles: readonly string[];
  /** So many of the last columns stand at their right end. */
  ends: number;
}

/** Names the columns of a list of links, for eyes: the links say by themselves what they hold. */
export function ListHead({ className, titles, ends }: Props) {
  return (
    <div className={`${className} ${classes.head}`} aria-hidden="true">
      {titles.map((title, at) => (
        <span key={title} data-end={at >= titles.length - ends}>
          {title}
        </span>
      ))}
    </div>
  );
}
