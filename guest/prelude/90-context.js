// The `context` of an invocation, as on AWS Lambda, with the host's services. It is made for every request, so it is
// a few properties; everything else is on the prototype.

class Context {
  #deadline;
  constructor(meta) {
    this.awsRequestId = meta.awsRequestId;
    this.functionName = meta.functionName;
    this.functionVersion = meta.functionVersion;
    this.invokedFunctionArn = meta.invokedFunctionArn;
    this.memoryLimitInMB = `${meta.memoryLimitInMB}`;
    this.callbackWaitsForEmptyEventLoop = false;
    this.clientContext = meta.clientContext;
    this.traceparent = meta.traceparent;
    this.#deadline = meta.deadlineMs;
  }
  get logGroupName() {
    return `/belay/${this.functionName}`;
  }
  get logStreamName() {
    return `${this.functionVersion}/${this.awsRequestId}`;
  }
  get identity() {
    return undefined;
  }
  getRemainingTimeInMillis() {
    return Math.max(0, Math.floor(this.#deadline - native.now()));
  }
  get kv() {
    return kv;
  }
  get sql() {
    return sql;
  }
  get http() {
    return http;
  }
  get secrets() {
    return secrets;
  }
  /** What the innermost open transaction was told when it began; undefined outside of one. */
  get transaction() {
    return turnNow;
  }
  get env() {
    return env;
  }
  get log() {
    return log;
  }
}

function makeContext(metaJson) {
  return new Context(JSON.parse(metaJson));
}
