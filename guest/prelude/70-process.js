// `process`, `navigator`, and the other names by which code finds out where it runs. Only what libraries read is
// here; there is no file system, no signal and no child process to go with it.

const NANOSECONDS_PER_MS = 1e6;

function nanoseconds() {
  return BigInt(Math.round(native.monotonic() * NANOSECONDS_PER_MS));
}

function hrtime(since = undefined) {
  const now = nanoseconds() - (Array.isArray(since) ? BigInt(since[0]) * 1000000000n + BigInt(since[1]) : 0n);
  return [Number(now / 1000000000n), Number(now % 1000000000n)];
}
define(hrtime, "bigint", function bigint() {
  return nanoseconds();
});

/** `process.stdout` and `process.stderr`: each write is a log line. */
function outputStream(level, fd) {
  return {
    fd,
    isTTY: false,
    writable: true,
    write(chunk) {
      const text = typeof chunk === "string" ? chunk : decodeUtf8(bytesOf(chunk) ?? NO_BYTES);
      print(level, text.replace(/\n$/, ""));
      return true;
    },
    on() {
      return this;
    },
  };
}

const process = {
  env: {},
  stdout: outputStream(LEVEL_INFO, 1),
  stderr: outputStream(LEVEL_ERROR, 2),
  argv: ["belay"],
  execArgv: [],
  platform: "belay",
  arch: "wasm32",
  pid: 1,
  version: "",
  versions: {},
  release: { name: "belay" },
  title: "belay",
  exitCode: undefined,
  cwd() {
    return "/";
  },
  uptime() {
    return native.monotonic() / 1000;
  },
  hrtime,
  memoryUsage() {
    return { rss: 0, heapTotal: 0, heapUsed: 0, external: 0, arrayBuffers: 0 };
  },
  nextTick(callback, ...args) {
    callable(callback, "process.nextTick");
    resolved.then(() => void callback(...args));
  },
  emitWarning(warning, type = "Warning") {
    const text = isError(warning)
      ? headingOf(warning)
      : `${isObject(type) ? (type.type ?? "Warning") : type}: ${warning}`;
    print(LEVEL_WARN, text);
  },
  exit() {
    throw new Error("process.exit is not available: return from the handler, or throw");
  },
};
for (const name of ["on", "once", "off", "addListener", "removeListener", "removeAllListeners"]) {
  define(
    process,
    name,
    {
      [name]() {
        return process;
      },
    }[name],
  );
}
for (const name of ["emit", "listeners", "listenerCount"]) {
  const answer = { emit: () => false, listeners: () => [], listenerCount: () => 0 }[name];
  define(
    process,
    name,
    {
      [name]() {
        return answer();
      },
    }[name],
  );
}
Object.defineProperty(process, Symbol.toStringTag, { value: "process", configurable: true });
publish("process", process);

class Navigator {
  constructor() {
    if (typeof globalThis.navigator === "object" && globalThis.navigator instanceof Navigator)
      throw new TypeError("Illegal constructor");
  }
  get userAgent() {
    return "Belay";
  }
  get language() {
    return "en-US";
  }
  get languages() {
    return ["en-US"];
  }
  get hardwareConcurrency() {
    return 1;
  }
}
publishClass(Navigator);
publish("navigator", new Navigator());
publish("global", globalThis);
publish("self", globalThis);

/** What an engine's own shell may have left on the global object. */
for (const name of ["gc", "print", "scriptArgs", "execArgv", "argv0", "std", "os", "bjson"]) delete globalThis[name];
