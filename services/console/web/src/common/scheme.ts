import { localStorageColorSchemeManager } from "@mantine/core";

/** Keeps the colour scheme where public/scheme.js finds it before the first paint. */
export const schemeManager = localStorageColorSchemeManager({ key: "kaon-color-scheme" });
