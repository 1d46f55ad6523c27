// Blob and File.
import { equal, table, throws } from "./assert.mjs";

export const handler = table({
  async "parts are joined"() {
    const blob = new Blob(["ä", new Uint8Array([1, 2]), new Blob(["b"]), new DataView(new ArrayBuffer(1)), 5], { type: "Text/Plain" });
    equal([blob.size, blob.type], [7, "text/plain"]);
    equal([...new Uint8Array(await blob.arrayBuffer())], [0xc3, 0xa4, 1, 2, 98, 0, 53]);
    equal([...(await blob.bytes())].length, 7);
    equal(await new Blob(["\ufeffa"]).text(), "a");
    throws("TypeError", () => new Blob("text"));
  },
  async "slices"() {
    const blob = new Blob(["abcdef"], { type: "a/b" });
    equal([await blob.slice(1, 3).text(), await blob.slice(-2).text(), await blob.slice(4, 2).text()], ["bc", "ef", ""]);
    equal([blob.slice().type, blob.slice(0, 1, "x/y").type], ["", "x/y"]);
  },
  async "a stream of it"() {
    const chunks = [];
    for await (const chunk of new Blob(["abc"]).stream()) chunks.push(...chunk);
    equal(chunks, [97, 98, 99]);
    equal(await new Response(new Blob([]).stream()).text(), "");
  },
  "files have names"() {
    const file = new File(["a"], "x.txt", { type: "t/x", lastModified: 12.7 });
    equal([file.name, file.size, file.type, file.lastModified, file instanceof Blob], ["x.txt", 1, "t/x", 12, true]);
    throws("TypeError", () => new File(["a"]));
  },
});
