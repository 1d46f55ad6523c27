async function transferLater(order, context) {
  await defer(order);
  return { status: "later", attempts: context.transaction.attempt };
}
