import { signOut } from "../api/session";

/** Ends the session and forgets everything that this tab knows. */
export async function signOutHere(): Promise<void> {
  await signOut();
  location.assign("/");
}
