// The payment provider of the demo: a small HTTP server, with a switch for how long it takes.
//
//   node provider.mjs [PORT]       any free one by default; the port is printed
//
//   POST /pay      { id, cents }   carries out a payment; the same Idempotency-Key is the same payment
//   PUT  /latency  milliseconds    from now on each answer takes so long
//   GET  /         what it was asked, and what it has paid
//
// Who hangs up before the answer has not paid.
import { createServer } from "node:http";

let latency = 0;
const calls = [];
const payments = new Map();

async function read(request) {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text;
}

async function pay(request, response) {
  const payment = JSON.parse(await read(request));
  const key = request.headers["idempotency-key"];
  calls.push({ id: payment.id, key });
  await new Promise((resolve) => {
    response.on("close", resolve);
    setTimeout(resolve, latency);
  });
  if (response.destroyed) return;
  payments.set(key, payment);
  response.end("paid\n");
}

const server = createServer(async (request, response) => {
  const route = `${request.method} ${request.url}`;
  if (route === "POST /pay") {
    await pay(request, response);
  } else if (route === "PUT /latency") {
    latency = Number(await read(request));
    response.end(`each answer takes ${latency} ms\n`);
  } else {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ calls, payments: [...payments.values()] }));
  }
});
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => console.log(server.address().port));
