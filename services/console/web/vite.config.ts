import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { compress } from "./scripts/compress.ts";

// The development server hands calls to a console server that `kaon ui` or `make dev` started.
const server = process.env.KAON_CONSOLE ?? "http://127.0.0.1:7072";
const toServer = { target: server, changeOrigin: true, headers: { origin: server } };

export default defineConfig({
  plugins: [react(), compress()],
  // The server puts the nonce of the answer in place of this text, wherever it stands in index.html.
  html: { cspNonce: "__CSP_NONCE__" },
  build: {
    outDir: "../src/kaon_console/static",
    emptyOutDir: true,
    target: "es2022",
    sourcemap: false,
    chunkSizeWarningLimit: 900,
    // No data: addresses, which the content security policy would have to allow.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  worker: { format: "es" },
  server: {
    host: "127.0.0.1",
    port: 7073,
    proxy: { "/api": toServer, "/session": toServer, "/login": toServer, "/logout": toServer },
  },
  // One environment for all files: no test replaces a module or leaves a global changed, and each file's own would load everything again.
  test: { include: ["src/**/*.test.ts"], environment: "node", isolate: false },
});
