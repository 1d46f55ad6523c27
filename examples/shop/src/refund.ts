import { load } from "./orders";
import { paymentOf } from "./payments";

/** Gives the money back. Fails for an order that was never paid, and says where. `{ order }` */
export async function refund(event: { order: string }) {
  const order = await load(event.order);
  const payment = paymentOf(order);
  return { refunded: payment.reference };
}
