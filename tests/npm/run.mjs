// Uses real packages, and answers with what they make of fixed inputs. The same file runs in Node and on Belay;
// the two answers must be equal. What is random is answered by its shape.
import Ajv from "ajv";
import { addDays, formatISO9075 } from "date-fns";
import dayjs from "dayjs";
import utc from "dayjs/plugin/utc.js";
import Decimal from "decimal.js";
import { XMLParser } from "fast-xml-parser";
import { Hono } from "hono";
import { produce } from "immer";
import lodash from "lodash";
import { chunk } from "lodash-es";
import ms from "ms";
import Mustache from "mustache";
import { customAlphabet, nanoid } from "nanoid";
import { h } from "preact";
import { render } from "preact-render-to-string";
import qs from "qs";
import semver from "semver";
import slugify from "slugify";
import superjson from "superjson";
import { v4, v5, validate } from "uuid";
import validator from "validator";
import YAML from "yaml";
import { z } from "zod";

dayjs.extend(utc);

const Order = z.object({
  email: z.email(),
  lines: z.array(z.object({ sku: z.string().min(3), quantity: z.coerce.number().int().positive() })).nonempty(),
  note: z.string().optional(),
});

const checks = {
  ajv() {
    const valid = new Ajv().compile({ type: "object", required: ["a"], properties: { a: { type: "integer" } } });
    return [valid({ a: 1 }), valid({ a: "x" }), valid.errors[0].message];
  },
  dateFns: () => formatISO9075(addDays(new Date(2024, 1, 28), 2)),
  dayjs: () => dayjs.utc("2024-02-29T12:00:00Z").add(1, "year").format("dddd, MMMM D YYYY HH:mm"),
  decimal: () => [new Decimal("0.1").plus("0.2").toString(), new Decimal(2).sqrt().toFixed(40)],
  xml: () => new XMLParser({ ignoreAttributes: false }).parse('<a x="1"><b>2</b><b>3</b></a>'),
  async hono() {
    const app = new Hono().get("/hi/:name", (c) => c.json({ hi: c.req.param("name"), q: c.req.query("q") }));
    const response = await app.request("/hi/ada?q=1");
    return [response.status, response.headers.get("content-type"), await response.json(), (await app.request("/no")).status];
  },
  immer() {
    const before = { list: [{ n: 1 }, { n: 2 }] };
    const after = produce(before, (draft) => void (draft.list[1].n = 3));
    return [before, after, before.list[0] === after.list[0]];
  },
  lodash: () => [
    lodash.groupBy([1.2, 2.3, 2.9], Math.floor),
    lodash.merge({ a: { b: 1 } }, { a: { c: 2 } }),
    lodash.template("<% for (const x of xs) { %>[<%- x %>]<% } %>")({ xs: ["<", "b"] }),
    lodash.cloneDeep({ d: new Date(0), r: /x/g, m: new Map([[1, { a: 1 }]]).size }),
    lodash.isPlainObject(Object.create(null)),
  ],
  lodashEs: () => chunk([1, 2, 3, 4, 5], 2),
  ms: () => [ms("2 days"), ms(90_000), ms(3_600_000, { long: true })],
  mustache: () => Mustache.render("{{#xs}}{{n}},{{/xs}}{{{raw}}}{{raw}}", { xs: [{ n: 1 }, { n: 2 }], raw: "<b>" }),
  nanoid: () => [nanoid().length, /^[\w-]{21}$/.test(nanoid()), nanoid() !== nanoid(), /^[ab]{9}$/.test(customAlphabet("ab", 9)())],
  preact: () => render(h("ul", { class: "x" }, ["<", 2].map((item) => h("li", { key: item }, item)))),
  qs: () => [qs.parse("a[b][]=1&a[b][]=2&c=%20"), qs.stringify({ a: { b: [1, 2] }, d: "ü" })],
  semver: () => [semver.satisfies("1.10.3", "^1.9.0"), semver.inc("1.2.3-rc.1", "prerelease"), semver.rsort(["1.0.0", "10.0.0", "2.0.0"])],
  slugify: () => slugify("Žluťoučký kůň & Söhne", { lower: true }),
  superjson: () => superjson.stringify({ d: new Date(0), s: new Set([1]), big: 12n, u: undefined }),
  uuid: () => [validate(v4()), v4() !== v4(), v5("https://example.org", v5.URL)],
  validator: () => [
    validator.isEmail("a@b.example"),
    validator.isURL("https://user@host.example:80/p?q#f"),
    validator.isIBAN("DE89370400440532013000"),
    validator.escape("<a href='x'>"),
    validator.normalizeEmail("Some.Name+tag@GMAIL.com"),
  ],
  yaml: () => [YAML.parse("a: &x [1, 2]\nb: *x\nc: |\n  two\n  lines\n"), YAML.stringify({ a: [1, { b: null }] })],
  zod() {
    const good = Order.parse({ email: "ada@example.org", lines: [{ sku: "abc", quantity: "2" }], extra: 1 });
    const bad = Order.safeParse({ email: "no", lines: [] });
    return [good, bad.error.issues.map(({ code, path, message }) => ({ code, path, message })), z.toJSONSchema(Order)];
  },
};

/** What each package answered, or the error that it threw. */
export async function handler() {
  const answers = {};
  for (const [name, check] of Object.entries(checks)) {
    try {
      answers[name] = await check();
    } catch (error) {
      answers[name] = `${error}\n${error.stack}`;
    }
  }
  return answers;
}
