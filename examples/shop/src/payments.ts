import type { Order } from "./orders";

/** The payment to give back. */
export function paymentOf(order: Order): { reference: string } {
  if (order.payment === undefined) {
    throw new PaymentError(`order ${order.id} was never paid`);
  }
  return order.payment;
}

export class PaymentError extends Error {
  override name = "PaymentError";
}
