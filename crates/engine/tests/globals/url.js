// URL and URLSearchParams; vectors after web-platform-tests, url/resources/urltestdata.json and url/urlsearchparams-*.
import { equal, ok, table, throws } from "./assert.mjs";

const PARSED = [
  // input, base, href (null: fails)
  ["http://example\t.\norg", "http://example.org/foo/bar", "http://example.org/"],
  ["http://user:pass@foo:21/bar;par?b#c", undefined, "http://user:pass@foo:21/bar;par?b#c"],
  ["https://test:@test", undefined, "https://test@test/"],
  ["non-special://test:@test/x", undefined, "non-special://test@test/x"],
  ["http:foo.com", "http://example.org/foo/bar", "http://example.org/foo/foo.com"],
  ["\t   :foo.com   \n", "http://example.org/foo/bar", "http://example.org/foo/:foo.com"],
  [" foo.com  ", "http://example.org/foo/bar", "http://example.org/foo/foo.com"],
  ["http://f:0/c", undefined, "http://f:0/c"],
  ["http://f:00000000000000/c", undefined, "http://f:0/c"],
  ["http://f:00000000000000000000080/c", undefined, "http://f/c"],
  ["http://f:b/c", undefined, null],
  ["http://f: /c", undefined, null],
  ["http://f:65536/c", undefined, null],
  ["", "http://example.org/foo/bar", "http://example.org/foo/bar"],
  [":#", "http://example.org/foo/bar", "http://example.org/foo/:#"],
  ["//foo/bar", "http://example.org/foo/bar", "http://foo/bar"],
  ["http://www.google.com/foo?bar=baz#", undefined, "http://www.google.com/foo?bar=baz#"],
  ["/a/b/../c/%2e%2E/d", "https://x.test/", "https://x.test/a/d"],
  ["http://[2001::1]", undefined, "http://[2001::1]/"],
  ["http://[::127.0.0.1]", undefined, "http://[::7f00:1]/"],
  ["http://[1::2]:3:4", undefined, null],
  ["http://192.0x00A80001", undefined, "http://192.168.0.1/"],
  ["http://256.256.256.256.256", undefined, null],
  ["http://GOO\u200b\u2060\ufeffgoo.com", undefined, "http://googoo.com/"],
  ["http://\uff05\uff14\uff11.com", undefined, null],
  ["http://faß.ExAmPlE/", undefined, "http://xn--fa-hia.example/"],
  ["http://www/foo%2Ehtml", undefined, "http://www/foo%2Ehtml"],
  ["http://example.com/\ud800\ud801\udfff", undefined, "http://example.com/%EF%BF%BD%F0%90%9F%BF"],
  ["file:///a/%2e./bar", undefined, "file:///bar"],
  ["mailto:example.com/../x", undefined, "mailto:example.com/../x"],
  ["data:text/html,test#test", undefined, "data:text/html,test#test"],
  ["http://ho%20st/", undefined, null],
  ["nothing", undefined, null],
  ["//", "http://example.org/", null],
];

const SET = [
  // href, component, value, href after
  ["https://a.b/c", "protocol", "http", "http://a.b/c"],
  ["https://a.b/c", "protocol", "mailto", "https://a.b/c"],
  ["https://a.b/c", "username", "me@", "https://me%40@a.b/c"],
  ["https://a.b/c", "password", "s:1", "https://:s%3A1@a.b/c"],
  ["https://a.b/c", "host", "x.y:81", "https://x.y:81/c"],
  ["https://a.b:8/c", "hostname", "x.y", "https://x.y:8/c"],
  ["https://a.b:8/c", "port", "", "https://a.b/c"],
  ["https://a.b:8/c", "port", "443", "https://a.b/c"],
  ["https://a.b:8/c", "port", "zzz", "https://a.b:8/c"],
  ["https://a.b/c", "pathname", "x y/../z", "https://a.b/z"],
  ["https://a.b/c", "search", "q=ä b", "https://a.b/c?q=%C3%A4%20b"],
  ["https://a.b/c?x", "search", "", "https://a.b/c"],
  ["https://a.b/c", "hash", "h\nh", "https://a.b/c#hh"],
];

export const handler = table({
  parsing() {
    for (const [input, base, href] of PARSED) {
      const url = URL.parse(input, base);
      equal([input, url === null ? null : url.href], [input, href]);
      equal(URL.canParse(input, base), href !== null);
      if (href === null) throws("TypeError", () => new URL(input, base));
      else equal(new URL(input, base).href, href);
    }
  },
  setting() {
    for (const [href, component, value, after] of SET) {
      const url = new URL(href);
      url[component] = value;
      equal([component, value, url.href], [component, value, after]);
    }
    throws("TypeError", () => (new URL("https://a.b").href = "nope"));
  },
  components() {
    const url = new URL("https://u:p@h.example:8443/a/b?q=1&q=2#f");
    equal(
      [url.origin, url.protocol, url.username, url.password, url.host, url.hostname, url.port, url.pathname, url.search, url.hash],
      ["https://h.example:8443", "https:", "u", "p", "h.example:8443", "h.example", "8443", "/a/b", "?q=1&q=2", "#f"],
    );
    equal(new URL("data:x").origin, "null");
    equal(JSON.stringify({ url }), '{"url":"https://u:p@h.example:8443/a/b?q=1&q=2#f"}');
    equal(`${url}`, url.href);
  },
  "search parameters follow the URL and the other way round"() {
    const url = new URL("https://a.b/?x=1");
    const params = url.searchParams;
    equal(params, url.searchParams);
    params.append("y", "a b&c");
    equal(url.href, "https://a.b/?x=1&y=a+b%26c");
    url.search = "?z=%26";
    equal([...params], [["z", "&"]]);
    params.delete("z");
    equal(url.href, "https://a.b/");
    url.href = "https://a.b/?n=1";
    equal(params.get("n"), "1");
  },
  "forms are read as the standard says"() {
    const read = (text) => [...new URLSearchParams(text)];
    equal(read("a=b+c&&d=%20&e&=f&g=h=i"), [["a", "b c"], ["d", " "], ["e", ""], ["", "f"], ["g", "h=i"]]);
    equal(read("?a=1&?b=2"), [["a", "1"], ["?b", "2"]]);
    equal(read("a=%zz%e4%C3%A4%"), [["a", "%zz\ufffdä%"]]);
    equal(read("id=0&value=%"), [["id", "0"], ["value", "%"]]);
    equal(read("a=\ufeff%EF%BB%BFb"), [["a", "\ufeff\ufeffb"]]);
    equal(read({ a: 1, b: "ä" }), [["a", "1"], ["b", "ä"]]);
    equal(read([["a", "b"], ["c", "d"]]), [["a", "b"], ["c", "d"]]);
    equal(read(new URLSearchParams("a=1&a=2")), [["a", "1"], ["a", "2"]]);
    throws("TypeError", () => new URLSearchParams([["a"]]));
  },
  "forms are written as the standard says"() {
    equal(new URLSearchParams({ a: "é~!'()*-._ 0", "\ud800": "" }).toString(), "a=%C3%A9%7E%21%27%28%29*-._+0&%EF%BF%BD=");
  },
  "the list is a multi-map"() {
    const params = new URLSearchParams("b=1&a=2&b=3&c=4");
    equal(params.size, 4);
    equal(params.getAll("b"), ["1", "3"]);
    equal(params.get("none"), null);
    ok(params.has("b", "3") && !params.has("b", "2"));
    params.set("b", "9");
    equal(`${params}`, "b=9&a=2&c=4");
    params.append("a", "0");
    params.sort();
    equal(`${params}`, "a=2&a=0&b=9&c=4");
    params.delete("a", "2");
    equal([...params.keys()], ["a", "b", "c"]);
    equal([...params.values()], ["0", "9", "4"]);
    const seen = [];
    params.forEach((value, name, owner) => seen.push(name + value + (owner === params)));
    equal(seen, ["a0true", "b9true", "c4true"]);
    throws("TypeError", () => params.append("x"));
  },
  "iterating sees deletions"() {
    const params = new URLSearchParams("a=1&b=2&c=3");
    const seen = [];
    for (const [name] of params) {
      seen.push(name);
      params.delete(name);
    }
    equal(seen, ["a", "c"]);
  },
});
