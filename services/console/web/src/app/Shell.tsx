import { useQuery } from "@tanstack/react-query";
import { Outlet } from "@tanstack/react-router";
import { faultOf } from "../api/fault";
import { sessionQuery } from "../api/session";
import { ErrorState, LoadingState } from "../shared/states";
import { SignIn } from "./SignIn";

/** The frame around every page. */
export function Shell() {
  const { data, error, refetch } = useQuery(sessionQuery);
  if (!data && error)
    return faultOf(error).kind === "signed-out" ? <SignIn /> : <ErrorState error={error} retry={refetch} />;
  if (!data) return <LoadingState label="Connecting" />;
  return <Outlet />;
}
