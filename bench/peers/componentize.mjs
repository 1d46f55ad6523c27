// Makes component.wasm of component.js, in the current directory.
import { cp, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

// StarlingMonkey is built against this version of WASI; jco brings the interfaces of a later,
// compatible one.
const WASI = "0.2.10";
const NEWER = "0.2.12";

const wit = `${process.cwd()}/wit`;
await mkdir(`${wit}/deps`, { recursive: true });
await cp(`node_modules/@bytecodealliance/jco/lib/wit/builtin/${NEWER}`, `${wit}/deps`, { recursive: true });
for (const entry of await readdir(`${wit}/deps`, { recursive: true, withFileTypes: true })) {
  if (!entry.name.endsWith(".wit")) continue;
  const path = `${entry.parentPath ?? entry.path}/${entry.name}`;
  await writeFile(path, (await readFile(path, "utf8")).replaceAll(NEWER, WASI));
}
await writeFile(`${wit}/world.wit`, `package bench:echo;\nworld echo { export wasi:http/incoming-handler@${WASI}; }\n`);
const source = await readFile("component.js", "utf8");
const { component } = await componentize(source, { witPath: wit, worldName: "echo" });
await writeFile("component.wasm", component);
