// Headers, Request, Response, fetch. The test answers `http.fetch` with an echo of what it got as JSON (`{args, body}`),
// with the status given in the header `x-status`; the host `down.test` refuses with EGRESS_DENIED, `slow.test` never answers.
import { equal, ok, rejects, table, throws } from "./assert.mjs";

export const handler = table({
  "headers are a case-insensitive multi-map"() {
    const headers = new Headers({ "X-B": " 1 ", a: "2" });
    headers.append("x-b", "3");
    headers.append("Set-Cookie", "c=1");
    headers.append("set-cookie", "d=2");
    equal(headers.get("X-b"), "1, 3");
    equal([...headers], [["a", "2"], ["set-cookie", "c=1"], ["set-cookie", "d=2"], ["x-b", "1, 3"]]);
    equal(headers.getSetCookie(), ["c=1", "d=2"]);
    headers.set("x-b", "9");
    headers.delete("set-cookie");
    equal([headers.has("A"), headers.get("x-b"), headers.get("none"), [...headers.keys()]], [true, "9", null, ["a", "x-b"]]);
    equal([...new Headers([["a", "1"], ["a", "2"]]).values()], ["1, 2"]);
    equal(new Headers(headers).get("a"), "2");
    for (const name of ["", "a b", "ä", "a:"]) throws("TypeError", () => headers.append(name, "x"));
    for (const value of ["a\nb", "\0", "€"]) throws("TypeError", () => headers.append("x", value));
    throws("TypeError", () => new Headers([["a"]]));
    throws("TypeError", () => new Headers(1));
  },
  async "responses"() {
    const response = new Response("hé", { status: 201, statusText: "Made", headers: { "x-a": "b" } });
    equal([response.status, response.statusText, response.ok, response.type, response.url, response.redirected], [201, "Made", true, "default", "", false]);
    equal([response.headers.get("content-type"), response.headers.get("x-a")], ["text/plain;charset=UTF-8", "b"]);
    equal([response.bodyUsed, await response.text(), response.bodyUsed], [false, "hé", true]);
    await rejects("TypeError", response.text());
    equal(await new Response().text(), "");
    equal(new Response().body, null);
    equal([Response.error().status, Response.error().type], [0, "error"]);
    const json = Response.json({ a: [1] }, { status: 418 });
    equal([json.status, json.headers.get("content-type"), await json.json()], [418, "application/json", { a: [1] }]);
    const redirect = Response.redirect("https://a.b/c", 301);
    equal([redirect.status, redirect.headers.get("location")], [301, "https://a.b/c"]);
    throws("TypeError", () => redirect.headers.set("a", "b"));
    throws("RangeError", () => new Response("", { status: 199 }));
    throws("TypeError", () => new Response("x", { status: 204 }));
    throws("RangeError", () => Response.redirect("https://a.b", 200));
    throws("TypeError", () => Response.json(undefined));
  },
  async "bodies in every form"() {
    const make = () => new Response(new Uint8Array([0x7b, 0x7d]));
    equal(new Uint8Array(await make().arrayBuffer()).length, 2);
    equal([...(await make().bytes())], [0x7b, 0x7d]);
    equal(await (await make().blob()).text(), "{}");
    equal(await make().json(), {});
    equal(await new Response("\ufeff{}").text(), "{}");
    await rejects("SyntaxError", new Response("{").json());
    equal(await new Response(new Blob(["a"], { type: "x/y" })).text(), "a");
    equal(new Response(new URLSearchParams("a=b")).headers.get("content-type"), "application/x-www-form-urlencoded;charset=UTF-8");
    const parts = [new TextEncoder().encode("ab"), new TextEncoder().encode("c")];
    equal(await new Response(ReadableStream.from(parts)).text(), "abc");
    await rejects("TypeError", new Response(ReadableStream.from(["text"])).text());
    let seen = "";
    for await (const chunk of new Response("streamed").body) seen += new TextDecoder().decode(chunk);
    equal(seen, "streamed");
  },
  async "clones can both be read"() {
    for (const response of [new Response("x", { status: 202 }), new Response(ReadableStream.from([new Uint8Array([120])]), { status: 202 })]) {
      const copy = response.clone();
      equal([copy.status, await copy.text(), await response.text()], [202, "x", "x"]);
      throws("TypeError", () => response.clone());
    }
    const request = new Request("https://a.b", { method: "POST", body: "x" });
    const copy = request.clone();
    equal([await copy.text(), await request.text()], ["x", "x"]);
  },
  async "requests"() {
    const request = new Request("https://a.b/c?d#e", { method: "post", body: "x", headers: { "X-A": "1" }, redirect: "manual" });
    equal([request.method, request.url, request.redirect, request.headers.get("x-a"), request.signal.aborted], ["POST", "https://a.b/c?d#e", "manual", "1", false]);
    const next = new Request(request, { headers: { b: "2" } });
    equal([next.method, next.headers.get("x-a"), next.headers.get("b"), request.bodyUsed, await next.text()], ["POST", null, "2", true, "x"]);
    equal(new Request("https://a.b", { method: "patch" }).method, "patch");
    equal(new Request(new URL("https://a.b")).url, "https://a.b/");
    equal([request.mode, request.credentials, request.cache, request.duplex], ["cors", "same-origin", "default", "half"]);
    throws("TypeError", () => new Request("/relative"));
    throws("TypeError", () => new Request("https://u:p@a.b"));
    throws("TypeError", () => new Request("https://a.b", { body: "x" }));
    throws("TypeError", () => new Request("https://a.b", { method: "TRACE" }));
    throws("TypeError", () => new Request("https://a.b", { redirect: "maybe" }));
    throws("TypeError", () => new Request());
  },
  async "fetch sends what it was given"() {
    const response = await fetch("https://echo.test/a b?c", { method: "PUT", body: JSON.stringify({ x: 1 }), headers: [["X-H", "1"]] });
    equal([response.status, response.ok, response.type, response.url], [200, true, "basic", "https://echo.test/a%20b?c"]);
    const { args, body } = await response.json();
    equal(args, {
      method: "PUT", url: "https://echo.test/a%20b?c", redirect: "follow",
      headers: [["x-h", "1"], ["content-type", "text/plain;charset=UTF-8"]],
    });
    equal(body, '{"x":1}');
  },
  async "fetch without a body, by Request, by URL"() {
    const get = await (await fetch(new URL("https://echo.test"))).json();
    equal([get.args.method, get.args.headers, get.body], ["GET", [], null]);
    const made = await (await fetch(new Request("https://echo.test", { method: "DELETE" }), { headers: { a: "b" } })).json();
    equal([made.args.method, made.args.headers], ["DELETE", [["a", "b"]]]);
  },
  async "fetch reports what the host refuses"(context) {
    const error = await rejects("TypeError", fetch("https://down.test/"));
    equal([error.code, error.cause.name, error.cause.code], ["EGRESS_DENIED", "BelayError", "EGRESS_DENIED"]);
    equal((await rejects("BelayError", context.http.fetch("https://down.test/"))).code, "EGRESS_DENIED");
    await rejects("TypeError", fetch("not a url"));
  },
  async "statuses and locked headers"() {
    const response = await fetch("https://echo.test", { headers: { "x-status": "204" } });
    equal([response.status, response.body, await response.text()], [204, null, ""]);
    equal((await fetch("https://echo.test", { headers: { "x-status": "404" } })).ok, false);
    throws("TypeError", () => response.headers.set("a", "b"));
    equal(response.headers.getSetCookie(), ["a=1", "b=2"]);
  },
  async "aborting a fetch"() {
    const controller = new AbortController();
    const waiting = fetch("https://slow.test", { signal: controller.signal });
    setTimeout(() => controller.abort(), 1);
    await rejects("AbortError", waiting);
    await rejects("TimeoutError", fetch("https://slow.test", { signal: AbortSignal.timeout(1) }));
    await rejects("AbortError", fetch("https://echo.test", { signal: AbortSignal.abort() }));
    equal(await fetch("https://slow.test", { signal: AbortSignal.abort("why") }).catch((reason) => reason), "why");
  },
  async "forms are sent and read"() {
    const form = new FormData();
    form.append("a", "1\n2");
    form.append('q"n', new File(["file"], 'n"ame.txt', { type: "text/x" }));
    form.append("b", new Blob(["blob"]));
    const request = new Request("https://a.b", { method: "POST", body: form });
    ok(/^multipart\/form-data; boundary=/.test(request.headers.get("content-type")));
    const read = await request.formData();
    equal([...read.keys()], ["a", 'q"n', "b"]);
    equal(read.get("a"), "1\r\n2");
    const file = read.get('q"n');
    equal([file.name, file.type, await file.text(), read.get("b").name], ['n"ame.txt', "text/x", "file", "blob"]);
    const plain = await new Response(new URLSearchParams({ x: "a b" })).formData();
    equal([...plain], [["x", "a b"]]);
    await rejects("TypeError", new Response("x").formData());
    await rejects("TypeError", new Response("--x\r\ncut", { headers: { "content-type": "multipart/form-data; boundary=x" } }).formData());
  },
  "the list of a form"() {
    const form = new FormData();
    form.append("a", "1");
    form.append("b", 2);
    form.append("a", "3");
    equal([form.get("a"), form.getAll("a"), form.has("b"), form.get("none")], ["1", ["1", "3"], true, null]);
    form.set("a", "4");
    form.delete("b");
    equal([...form], [["a", "4"]]);
    throws("TypeError", () => new FormData({}));
  },
  async "http.fetch takes a time limit"(context) {
    const { args } = await (await context.http.fetch("https://echo.test", { timeoutMs: 50 })).json();
    equal([args.method, args.timeoutMs], ["GET", 50]);
  },
  async "http has short forms"(context) {
    const json = async (response) => (await response).json();
    const posted = await json(context.http.post("https://echo.test", { a: 1 }, { headers: { b: "2" } }));
    equal([posted.args.method, posted.body], ["POST", '{"a":1}']);
    equal(posted.args.headers, [["b", "2"], ["content-type", "application/json"]]);
    const put = await json(context.http.put("https://echo.test", "plain"));
    equal([put.args.method, put.body], ["PUT", "plain"]);
    const patched = await json(context.http.patch("https://echo.test", new URLSearchParams("a=b")));
    equal([patched.args.method, patched.body], ["PATCH", "a=b"]);
    equal((await json(context.http.delete("https://echo.test"))).args.method, "DELETE");
    equal((await json(context.http.get("https://echo.test"))).args.method, "GET");
  },
});
