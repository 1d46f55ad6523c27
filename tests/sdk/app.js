// What the tests of the AWS SDKs call.

export const echo = async (event, context) => ({
  event,
  requestId: context.awsRequestId,
  client: context.clientContext ?? null,
});

function price(order) {
  throw new RangeError(`no price for ${order.id}`);
}

export const fails = async (event) => price(event.order);

export const logs = async (event) => {
  console.log(`event ${event.n}`);
  console.warn("careful");
  return event.n;
};

// Its concurrency is 1, and the test keeps one call of it waiting.
export const busy = async () => new Promise((done) => setTimeout(done, 600_000));
