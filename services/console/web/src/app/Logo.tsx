import classes from "./Logo.module.css";

/** The name and its mark: a K whose stroke decays, as a kaon does. */
export function Logo() {
  return (
    <span className={classes.logo}>
      <svg width="20" height="20" viewBox="0 0 32 32" aria-hidden="true">
        <rect width="32" height="32" rx="8" className={classes.ground} />
        <path
          d="M10 8v16M22 8 12.5 16.5M15.5 14 22.5 24"
          fill="none"
          className={classes.stroke}
          strokeWidth="3"
          strokeLinecap="round"
          strokeLinejoin="round"
        />
      </svg>
      Kaon
    </span>
  );
}
