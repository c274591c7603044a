// Sets the colour scheme before the first paint, so that a dark page never flashes white.
(() => {
  let scheme = "auto";
  try {
    scheme = localStorage.getItem("kaon-color-scheme") ?? "auto";
  } catch {
    // A browser that forbids storage follows the system.
  }
  const dark = scheme === "dark" || (scheme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
})();
