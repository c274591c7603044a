import { localStorageColorSchemeManager } from "@mantine/core";

/** Keeps the colour scheme where the script in index.html finds it before the first paint. */
export const schemeManager = localStorageColorSchemeManager({ key: "kaon-color-scheme" });
