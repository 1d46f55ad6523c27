import { env } from "belay";
import dayjs from "dayjs";
import utc from "dayjs/plugin/utc";

import { load } from "./orders";
import { find, money } from "./products";

dayjs.extend(utc);

/** A receipt as plain text. `{ order }` */
export async function receipt(event: { order: string }) {
  const order = await load(event.order);
  const lines = order.items.map(({ sku, quantity }) => `${quantity} x ${find(sku)?.name ?? sku}`);
  const placed = dayjs.utc(order.placed);
  return {
    text: [
      `${env.SHOP_NAME}, ${placed.format("D MMMM YYYY, HH:mm")} UTC`,
      ...lines,
      `total ${money(order.cents)}, to be paid by ${placed.add(14, "day").format("D MMMM YYYY")}`,
    ].join("\n"),
  };
}
