// The context of an invocation, process and env.
import { equal, ok, table } from "./assert.mjs";
import { env, http, kv, log, secrets } from "belay";

export const handler = table({
  "the context is Lambda's"(context) {
    equal([context.awsRequestId, context.functionName, context.functionVersion], ["r-1", "f", "3"]);
    equal([context.memoryLimitInMB, context.callbackWaitsForEmptyEventLoop, context.clientContext], ["128", false, undefined]);
    equal([context.logGroupName, context.logStreamName], ["/belay/f", "3/r-1"]);
    const left = context.getRemainingTimeInMillis();
    ok(Number.isInteger(left) && left >= 0);
    equal(JSON.parse(JSON.stringify(context)).awsRequestId, "r-1");
    equal(context.traceparent, "00-a-b-01");
  },
  "the services are on it"(context) {
    equal([context.kv, context.http, context.secrets, context.env, context.log], [kv, http, secrets, env, log]);
    ok(Object.isFrozen(kv) && Object.isFrozen(env));
  },
  process() {
    equal(process.env, env);
    process.env.CHANGED = "1";
    ok(!("CHANGED" in env));
    equal([process.platform, process.cwd(), process.argv, typeof process.versions.node], ["belay", "/", ["belay"], "undefined"]);
    ok(process.on("exit", () => 1) === process);
  },
});
