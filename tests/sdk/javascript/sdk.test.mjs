// The real JavaScript AWS SDK, unmodified, against a Belay server whose address is in BELAY_ENDPOINT.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { InvokeCommand, LambdaClient } from "@aws-sdk/client-lambda";

const lambda = new LambdaClient({
  endpoint: process.env.BELAY_ENDPOINT,
  region: "eu-central-1",
  credentials: { accessKeyId: "any", secretAccessKey: "any" },
  maxAttempts: 1,
});
after(() => lambda.destroy());

const invoke = (FunctionName, event, options = {}) => {
  const Payload = event === undefined ? undefined : JSON.stringify(event);
  return lambda.send(new InvokeCommand({ FunctionName, Payload, ...options }));
};
const payload = (answer) => JSON.parse(answer.Payload.transformToString());
const base64 = (text) => Buffer.from(text).toString("base64");

test("request and response", async () => {
  const answer = await invoke("echo", { text: "wörld", n: [1, 2.5, null] });
  assert.equal(answer.StatusCode, 200);
  assert.equal(answer.ExecutedVersion, "2");
  assert.equal(answer.FunctionError, undefined);
  const result = payload(answer);
  assert.deepEqual(result.event, { text: "wörld", n: [1, 2.5, null] });
  assert.equal(result.requestId, answer.$metadata.requestId);
});

test("no payload is an empty object", async () => {
  assert.deepEqual(payload(await invoke("echo")).event, {});
});

test("a large payload", async () => {
  const text = "x".repeat(3_000_000);
  assert.equal(payload(await invoke("echo", text)).event, text);
});

test("client context", async () => {
  const ClientContext = base64('{"custom":{"a":1}}');
  assert.deepEqual(payload(await invoke("echo", {}, { ClientContext })).client, { custom: { a: 1 } });
});

test("a function error", async () => {
  const answer = await invoke("fails", { order: { id: 7 } });
  assert.equal(answer.StatusCode, 200);
  assert.equal(answer.FunctionError, "Unhandled");
  const error = payload(answer);
  assert.equal(error.errorType, "RangeError");
  assert.equal(error.errorMessage, "no price for 7");
  assert.match(error.stackTrace[0], /^at price \(app\.js:10:\d+\)$/);
});

test("the tail of the log", async () => {
  const answer = await invoke("logs", { n: 5 }, { LogType: "Tail" });
  const log = Buffer.from(answer.LogResult, "base64").toString();
  assert.match(log, /\tINFO\tevent 5\n/);
  assert.match(log, /\tWARN\tcareful\n/);
});

test("an event", async () => {
  const answer = await invoke("logs", { n: "from javascript" }, { InvocationType: "Event" });
  assert.equal(answer.StatusCode, 202);
});

test("a dry run", async () => {
  assert.equal((await invoke("fails", {}, { InvocationType: "DryRun" })).StatusCode, 204);
});

test("names and qualifiers", async () => {
  const version = async (name, Qualifier) => (await invoke(name, {}, { Qualifier })).ExecutedVersion;
  const arn = "arn:aws:lambda:eu-central-1:123456789012:function:echo";
  for (const name of ["echo", "shop.echo", "123456789012:function:echo", arn]) {
    assert.equal(await version(name), "2", name);
  }
  assert.equal(await version("echo", "1"), "1");
  assert.equal(await version("echo", "$LATEST"), "2");
  assert.equal(await version("echo", "old"), "1");
  assert.equal(await version(`${arn}:old`), "1");
  assert.equal(await version("echo:1"), "1");
});

const refused = (name, status, call) =>
  assert.rejects(call, (error) => {
    assert.equal(error.name, name);
    assert.equal(error.$metadata.httpStatusCode, status);
    return true;
  });

test("an unknown function", async () => {
  await refused("ResourceNotFoundException", 404, invoke("nothing", {}));
  await refused("ResourceNotFoundException", 404, invoke("echo", {}, { Qualifier: "99" }));
});

test("what is not JSON", async () => {
  const call = lambda.send(new InvokeCommand({ FunctionName: "echo", Payload: "{not json" }));
  await refused("InvalidRequestContentException", 400, call);
});

test("too large", async () => {
  await refused("RequestTooLargeException", 413, invoke("echo", "x".repeat(8_000_000)));
});

test("too many requests", async () => {
  await refused("TooManyRequestsException", 429, invoke("busy", {}));
});

test("contradicting qualifiers", async () => {
  const call = invoke("echo:1", {}, { Qualifier: "2" });
  await refused("InvalidParameterValueException", 400, call);
});
