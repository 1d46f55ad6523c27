import { kv, type HttpHandler } from "belay";

import { answer, segment } from "./http";
import type { Items } from "./quote";

export interface Order {
  id: string;
  customer: { name: string; email: string };
  items: Items;
  cents: number;
  /** Milliseconds since 1970. */
  placed: number;
  /** Set once it is paid. */
  payment?: { reference: string };
}

export const orderKey = (id: string) => `order/${id}`;

export async function load(id: string): Promise<Order> {
  const order = await kv.get<Order>(orderKey(id));
  if (order === undefined) throw new Error(`there is no order ${id}`);
  return order;
}

/** One order by its id, or the ids of all. */
export const orders: HttpHandler = async (event) => {
  const id = segment(event);
  if (id === "") {
    const page = await kv.list({ prefix: orderKey("") });
    return page.entries.map((entry) => entry.key.slice(orderKey("").length));
  }
  const order = await kv.get(orderKey(id));
  return order ?? answer(404, { error: `there is no order ${id}` });
};
