import { env, kv, log, type HttpHandler } from "belay";

/** `belay invoke hello '{"name": "Ada"}'` */
export async function hello(event: { name?: string }) {
  const name = event.name ?? "world";
  log.info("greeting", { name });
  return { message: `${env.GREETING}, ${name}!` };
}

/** Counts its calls: `curl` the URL that `belay deploy` prints. */
export const visits: HttpHandler = async (event) => {
  const count = await kv.transaction(async (tx) => {
    const next = ((await tx.get<number>("visits")) ?? 0) + 1;
    tx.put("visits", next);
    return next;
  });
  return { path: event.rawPath, count };
};
