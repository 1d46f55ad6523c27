import { z } from "zod";

import { find, money } from "./products";

export const Items = z
  .array(
    z.object({
      sku: z.string().refine((sku) => find(sku) !== undefined, { error: "there is no such product" }),
      quantity: z.int().min(1).max(20),
    }),
  )
  .min(1);

export type Items = z.infer<typeof Items>;

/** Cents. Three and more of one thing are ten per cent off. */
export function price(items: Items): number {
  return items.reduce((sum, { sku, quantity }) => {
    const full = (find(sku)?.cents ?? 0) * quantity;
    return sum + (quantity >= 3 ? Math.round(full * 0.9) : full);
  }, 0);
}

/** What an order would cost. `{ items: [{ sku, quantity }] }` */
export async function quote(event: { items: unknown }) {
  const cents = price(Items.parse(event.items));
  return { cents, total: money(cents) };
}
