import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The page of `benchmarks/console/frames.py`: it is no part of what is served.
export default defineConfig({
  plugins: [react()],
  publicDir: false,
  build: {
    outDir: process.env.KAON_BENCH_OUT,
    emptyOutDir: true,
    target: "es2022",
    rollupOptions: { input: "bench.html" },
  },
});
