import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import type { Plugin } from "vite";

const COMPRESSIBLE = /\.(js|css|html|svg|json|txt|map)$/;

/** Writes a `.br` and a `.gz` beside each text file of the bundle, so that the server compresses nothing. */
export function compress(): Plugin {
  let out = "";
  return {
    name: "kaon-compress",
    apply: "build",
    configResolved(config) {
      out = resolve(config.root, config.build.outDir);
    },
    async closeBundle() {
      const names = await readdir(out, { recursive: true });
      await Promise.all(names.filter((name) => COMPRESSIBLE.test(name)).map((name) => compressFile(join(out, name))));
    },
  };
}

async function compressFile(path: string): Promise<void> {
  if (!(await stat(path)).isFile()) return;
  const data = await readFile(path);
  const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } };
  await writeFile(`${path}.br`, await promisify(brotliCompress)(data, quality));
  await writeFile(`${path}.gz`, await promisify(gzip)(data, { level: 9, memLevel: 9 }));
}
