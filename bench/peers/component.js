// A fresh instance for each request: a WASI HTTP component, under `wasmtime serve`.
addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const { n } = await request.json();
  const headers = { "content-type": "application/json" };
  return new Response(JSON.stringify({ n: n + 1 }), { headers });
}
