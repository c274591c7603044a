import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { formatSearch, parseSearch, textOf } from "../common/search";
import { ErrorState, LoadingState } from "../common/states";
import { validateRunsSearch } from "../runs/search";
import { NotFound } from "./NotFound";
import { Shell } from "./Shell";

const rootRoute = createRootRoute({ component: Shell, notFoundComponent: NotFound });

export const overviewRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/",
  component: lazyRouteComponent(() => import("../overview/OverviewPage"), "OverviewPage"),
});

export const runsRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/runs",
  validateSearch: validateRunsSearch,
  component: lazyRouteComponent(() => import("../runs/RunsPage"), "RunsPage"),
});

/** The run page keeps its own state in the address; `src/run` reads it as texts. */
export const runRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/runs/$runId",
  component: lazyRouteComponent(() => import("./RunRoute"), "RunRoute"),
});

export const launchRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/launch",
  component: lazyRouteComponent(() => import("../launch/LaunchPage"), "LaunchPage"),
});

/** `from` names a run whose values the form begins with. */
export const launchFormRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/launch/$workflow",
  validateSearch: (search): { from?: string } => ({ from: textOf(search.from) }),
  component: lazyRouteComponent(() => import("../launch/LaunchFormPage"), "LaunchFormPage"),
});

export const datasetsRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/datasets",
  component: lazyRouteComponent(() => import("../datasets/DatasetsPage"), "DatasetsPage"),
});

/** `partition` chooses the updates; `whole` those of the dataset as a whole, whose partition is empty. */
export const datasetRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/datasets/$name",
  validateSearch: (search): { partition?: string; whole?: string } => ({
    partition: textOf(search.partition),
    whole: textOf(search.whole),
  }),
  component: lazyRouteComponent(() => import("../datasets/DatasetPage"), "DatasetPage"),
});

const routeTree = rootRoute.addChildren([
  overviewRoute,
  runsRoute,
  runRoute,
  launchRoute,
  launchFormRoute,
  datasetsRoute,
  datasetRoute,
]);

export const router = createRouter({
  routeTree,
  parseSearch,
  stringifySearch: formatSearch,
  defaultPreload: "intent",
  defaultPendingComponent: () => <LoadingState />,
  defaultErrorComponent: ({ error, reset }) => <ErrorState error={error} retry={reset} />,
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
