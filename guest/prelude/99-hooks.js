// What the C shim calls.

const hooks = {
  setGraph,
  resolve,
  moduleUrl,
  require: (path) => load(path, undefined),
  preload,
  setEnv,
  context: makeContext,
  origin: stackHere,
  error: errorFor,
  domException: namedError,
  describe,
};
