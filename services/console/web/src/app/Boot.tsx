import { LoadingState } from "../common/states";
import { Logo } from "./Logo";

/** What stands before it is known who is signed in: the mark stays where index.html has put it. */
export function Boot() {
  return (
    <>
      <div className="boot" aria-hidden="true">
        <Logo />
      </div>
      <LoadingState label="Connecting to the console" />
    </>
  );
}
