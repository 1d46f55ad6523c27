import { kv, log, type HttpHandler } from "belay";
import { customAlphabet } from "nanoid";
import { z } from "zod";

import { answer, method, text } from "./http";
import { orderKey, type Order } from "./orders";
import { find, money, stock, stockKey, type Product } from "./products";
import { Items, price } from "./quote";

const OrderRequest = z.object({
  customer: z.object({ name: z.string().min(1), email: z.email() }),
  items: Items,
});

const newId = customAlphabet("0123456789abcdefghjkmnpqrstvwxyz", 12);

class SoldOut extends Error {}

/** Takes an order: checked, priced, and stored together with the lower stock, or not at all. */
export const checkout: HttpHandler = async (event) => {
  if (method(event) !== "POST") return answer(405, { error: "POST an order" });
  const request = OrderRequest.safeParse(parsed(text(event)));
  if (!request.success) return answer(400, { error: z.prettifyError(request.error) });
  const { customer, items } = request.data;
  const order: Order = { id: newId(), customer, items, cents: price(items), placed: Date.now() };
  try {
    await place(order);
  } catch (error) {
    if (error instanceof SoldOut) return answer(409, { error: error.message });
    throw error;
  }
  log.info("order placed", { id: order.id, cents: order.cents });
  return answer(201, { id: order.id, total: money(order.cents) });
};

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** If another order takes the same goods meanwhile, the transaction starts over and sees the new stock. */
function place(order: Order): Promise<void> {
  return kv.transaction(async (tx) => {
    for (const { sku, quantity } of order.items) {
      const product = find(sku) as Product;
      const left = await stock(tx, product);
      if (left < quantity) throw new SoldOut(`only ${left} of ${product.name} left`);
      tx.put(stockKey(sku), left - quantity);
    }
    tx.put(orderKey(order.id), order);
  });
}
