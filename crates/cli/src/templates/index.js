import { env, kv, log } from "belay";

/**
 * `belay invoke hello '{"name": "Ada"}'`
 *
 * @param {{ name?: string }} event
 */
export async function hello(event) {
  const name = event.name ?? "world";
  log.info("greeting", { name });
  return { message: `${env.GREETING}, ${name}!` };
}

/**
 * Counts its calls: `curl` the URL that `belay deploy` prints.
 *
 * @type {import("belay").HttpHandler}
 */
export async function visits(event) {
  const count = await kv.transaction(async (tx) => {
    const next = ((await tx.get("visits")) ?? 0) + 1;
    tx.put("visits", next);
    return next;
  });
  return { path: event.rawPath, count };
}
