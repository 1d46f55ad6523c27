//! What only Node has: its built-in modules and native addons, and what to use instead.

/// The name without `node:` if it is one of Node's built-in modules.
pub(super) fn builtin(specifier: &str) -> Option<&str> {
    if let Some(name) = specifier.strip_prefix("node:") {
        return Some(name);
    }
    let name = specifier.split('/').next().unwrap_or_default();
    BUILTINS.binary_search(&name).is_ok().then_some(specifier)
}

/// Sorted.
const BUILTINS: [&str; 42] = [
    "_http_agent",
    "_http_client",
    "_http_common",
    "_http_server",
    "assert",
    "async_hooks",
    "buffer",
    "child_process",
    "cluster",
    "console",
    "constants",
    "crypto",
    "dgram",
    "diagnostics_channel",
    "dns",
    "domain",
    "events",
    "fs",
    "http",
    "http2",
    "https",
    "inspector",
    "module",
    "net",
    "os",
    "path",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "repl",
    "stream",
    "string_decoder",
    "timers",
    "tls",
    "tty",
    "url",
    "util",
    "v8",
    "vm",
    "zlib",
];

/// What a function uses here in place of a built-in module of Node.
pub(super) fn instead(name: &str) -> String {
    let text = match name.split('/').next().unwrap_or_default() {
        "crypto" => "use `globalThis.crypto` (`randomUUID`, `getRandomValues`, `subtle.digest`)",
        "fs" => {
            "functions have no file system; use `kv` from \"belay\", or import the data as JSON"
        }
        "http" | "https" | "http2" | "_http_agent" | "_http_client" | "_http_common"
        | "_http_server" => "use `fetch`",
        "net" | "tls" | "dgram" | "dns" => "functions open no sockets; use `fetch`",
        "buffer" => {
            "use `Uint8Array` with `TextEncoder`, `atob` and `btoa`, or install the package: `npm install buffer`"
        }
        "events" => "use `EventTarget`, or install the package: `npm install events`",
        "stream" => {
            "bodies arrive whole; use `Response` and its `text()`, `json()`, `arrayBuffer()`"
        }
        "util" => {
            "use `structuredClone`, `TextEncoder` and template strings, or install the package: `npm install util`"
        }
        "url" => "use the global `URL` and `URLSearchParams`",
        "querystring" => "use `URLSearchParams`",
        "path" => "install a package that does it, such as `npm install path-browserify`",
        "process" => "`process.env` is a global; remove the import",
        "timers" => "`setTimeout` and its like are globals; remove the import",
        "console" => "`console` is a global; remove the import",
        "perf_hooks" => "`performance.now()` is a global; remove the import",
        "assert" => "throw an `Error`, or install the package: `npm install assert`",
        "string_decoder" => "use `TextDecoder`",
        "punycode" => "install the package, and import it as \"punycode/\"",
        "async_hooks" => "an instance serves one request at a time: a module's variable is enough",
        "child_process" | "cluster" | "worker_threads" => {
            "functions start no processes; split the work into several functions"
        }
        "zlib" => {
            "the platform has no compression yet; use a package in JavaScript, such as `fflate`"
        }
        "os" | "v8" | "vm" | "module" | "tty" | "readline" | "repl" | "inspector" => {
            "a function knows nothing of the machine that it runs on; remove the import"
        }
        _ => {
            "Belay runs web-standard JavaScript, not Node; use a package made for browsers or workers"
        }
    };
    text.to_owned()
}

/// Packages whose only purpose is to load machine code.
const ADDON_LOADERS: [&str; 7] = [
    "@mapbox/node-pre-gyp",
    "@napi-rs/triples",
    "bindings",
    "node-gyp-build",
    "node-gyp-build-optional-packages",
    "node-pre-gyp",
    "prebuild-install",
];

/// Whether a specifier asks for machine code: a `.node` file, a loader of such files, or a package
/// built for one platform.
pub(super) fn is_native(specifier: &str) -> bool {
    let systems = ["-linux-", "-darwin-", "-win32-", "-android-", "-freebsd-"];
    let machines = ["x64", "arm64", "arm", "ia32", "riscv64", "s390x", "ppc64", "universal"];
    let for_platform = systems.iter().any(|system| {
        specifier
            .split_once(system)
            .is_some_and(|(_, rest)| machines.iter().any(|machine| rest.starts_with(machine)))
    });
    specifier.ends_with(".node") || ADDON_LOADERS.contains(&specifier) || for_platform
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_searched() {
        assert!(BUILTINS.is_sorted());
        assert_eq!(builtin("fs/promises"), Some("fs/promises"));
        assert_eq!(builtin("node:test"), Some("test"));
        assert_eq!(builtin("zod"), None);
    }

    #[test]
    fn platform_packages_are_native() {
        assert!(is_native("@node-rs/bcrypt-linux-x64-gnu"));
        assert!(is_native("./build/Release/addon.node"));
        assert!(!is_native("left-pad-linux"));
    }
}
