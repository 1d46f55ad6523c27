// One shared isolate: Node's own HTTP server. The port is the first argument.
import { createServer } from "node:http";

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const { n } = JSON.parse(Buffer.concat(chunks).toString());
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify({ n: n + 1 }));
}).listen(Number(process.argv[2]), "127.0.0.1");
