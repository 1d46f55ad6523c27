/**
 * @transaction transfer_N_
 * _PREDICT_
 * @alternative transferLater
 * @resources timeout=_TIMEOUT_ms retries=_RETRIES_
 * @success result.status !== "refused"
 */
async function transfer_N_(order, context) {
  const seen = await read(order);
  const paid = await context.http.post(PROVIDER, { id: order.id, amount: order.amount });
  if (!paid.ok) return { status: "refused" };
  await write(order, seen);
  return { status: "done", attempts: context.transaction.attempt };
}

export async function order_N_(order, context) {
  try {
    return await transfer_N_(order, context);
  } catch (error) {
    return { status: "failed", attempts: error.attempts?.length ?? 1, why: `${error.code ?? error.name}: ${error.message}` };
  }
}
