import { kv, log, type Context } from "belay";

import { load } from "./orders";

/** Tells the customer. Called as an event: the caller does not wait, and a failure is tried again. `{ order }` */
export async function notify(event: { order: string }, context: Context) {
  const order = await load(event.order);
  const mail = { to: order.customer.email, subject: `Your order ${order.id}`, request: context.awsRequestId };
  await kv.put(`outbox/${order.id}`, mail);
  log.info("mail is in the outbox", { to: mail.to });
  return mail;
}
