// Modules: which specifier means which module (decided when the app was compiled), and CommonJS.
//
// `graph` maps a module's path to its specifiers and their targets, `kinds` to what kind of module it is. A target is
// a module's path, or one of the names that begin with "belay": the built-in module, an empty one, what woven code
// uses, or one that could not be found, which is an error only when it is reached (packages probe for optional modules
// in `try`).

const BUILTIN = "belay";
const EMPTY = "belay:empty";
const WEAVE = "belay:weave";
const MISSING = "belay:missing/";
const KIND_ESM = 0;
const KIND_COMMONJS = 1;
const KIND_JSON = 2;

let graph = {};
let kinds = {};
const commonJsCache = Object.create(null);
const compiled = new Map();
const empty = {};
/** For compiled code alone: nothing else leads here, as `graph` has the name only in modules that need it. */
const woven = Object.freeze({
  cells: new Uint8Array(native.wovenCells),
  arm: native.wovenArm,
  enter: native.wovenEnter,
  leave: native.wovenLeave,
  settable,
  transaction,
  transactional,
});

/**
 * Woven code makes of an assigned property one that chooses, or assigns it where only one version does. To assign it must
 * do nothing else; and one that chooses must be seen as the assigned one would be.
 */
function settable(object, name, chooses) {
  const refuse = () => {
    throw new TypeError(`'${name}' is no plain property, so it cannot have two values`);
  };
  for (let holder = object; holder !== null; holder = Object.getPrototypeOf(holder)) {
    if (native.isProxy(holder)) refuse();
    const property = Object.getOwnPropertyDescriptor(holder, name);
    if (!property) {
      if (holder === object && !Object.isExtensible(object)) refuse();
      continue;
    }
    if (!property.writable) refuse();
    if (chooses && holder === object && !(property.configurable && property.enumerable)) refuse();
    return;
  }
}

function setGraph(graphJson) {
  ({ graph, kinds } = JSON.parse(graphJson));
}

function moduleNotFound(specifier, base) {
  const error = new Error(`Cannot find module '${specifier}'${base ? `, imported by ${base}` : ""}`);
  error.code = "MODULE_NOT_FOUND";
  return error;
}

/** The module that a specifier means in the module `base`. */
function resolve(base, specifier) {
  const known = hasOwn.call(graph, base) ? graph[base] : {};
  if (hasOwn.call(known, specifier)) {
    const target = known[specifier];
    if (target.startsWith(MISSING)) throw moduleNotFound(target.slice(MISSING.length), base);
    return target;
  }
  if (specifier === BUILTIN) return BUILTIN;
  throw new TypeError(
    `Cannot import '${specifier}' from ${base}: a dynamic import or require needs a literal specifier, so that it is known when the app is deployed`,
  );
}

/** `import.meta.url` of a module. */
function moduleUrl(path) {
  return `file:///${encodeURI(path)}`;
}

/** `module` of a CommonJS module. */
class Module {
  constructor(path, parent) {
    this.id = path;
    this.path = directoryOf(path);
    this.filename = path;
    this.exports = {};
    this.loaded = false;
    this.children = [];
    this.paths = [];
    define(this, "parent", parent);
    define(this, "require", requireFrom(this));
  }
}

function directoryOf(path) {
  const at = path.lastIndexOf("/");
  return at < 0 ? "." : path.slice(0, at) || "/";
}

/** The `require` function of one module. */
function requireFrom(module) {
  const require = function require(specifier) {
    if (typeof specifier !== "string")
      throw new TypeError(`require: the specifier must be a string, not ${inspect(specifier, { depth: 0 })}`);
    return load(resolve(module.id, specifier), module);
  };
  require.resolve = (specifier) => resolve(module.id, `${specifier}`);
  require.cache = commonJsCache;
  require.main = undefined;
  return require;
}

/** `module.exports` of any target, evaluated at its first use. */
function load(path, parent) {
  if (hasOwn.call(commonJsCache, path) || commonJsCache[path]) return commonJsCache[path].exports;
  if (path === BUILTIN) return belay;
  if (path === EMPTY) return empty;
  if (path === WEAVE) return woven;
  if (path.startsWith(MISSING)) throw moduleNotFound(path.slice(MISSING.length));
  const kind = hasOwn.call(kinds, path) ? kinds[path] : undefined;
  if (kind === KIND_ESM) return exportsOfEsm(native.namespace(path));
  if (kind === KIND_COMMONJS) return run(new Module(path, parent), parent);
  if (kind === KIND_JSON) return loadJson(path, parent);
  throw moduleNotFound(path);
}

function run(module, parent) {
  const path = module.id;
  const wrapper = compiled.get(path) ?? native.evalModule(path);
  commonJsCache[path] = module;
  parent?.children.push(module);
  let done = false;
  try {
    wrapper.apply(module.exports, argumentsFor(wrapper, module));
    done = true;
  } finally {
    if (!done) delete commonJsCache[path];
  }
  compiled.delete(path);
  module.loaded = true;
  return module.exports;
}

/** The wrapper of a module that is woven, or has transactions, has parameters for what these need as well. */
function argumentsFor(wrapper, module) {
  const usual = [module.exports, module.require, module, module.id, module.path];
  return wrapper.length > usual.length ? [...usual, ...Object.values(woven)] : usual;
}

function loadJson(path, parent) {
  const module = new Module(path, parent);
  module.exports = JSON.parse(compiled.get(path) ?? native.jsonText(path));
  compiled.delete(path);
  module.loaded = true;
  commonJsCache[path] = module;
  return module.exports;
}

/** What `require` of an ES module gives: its namespace, marked as such for code that a transpiler made. */
function exportsOfEsm(namespace) {
  if (hasOwn.call(namespace, "module.exports")) return namespace["module.exports"];
  if (!hasOwn.call(namespace, "default") || hasOwn.call(namespace, "__esModule")) return namespace;
  if (marked.has(namespace)) return marked.get(namespace);
  const view = Object.create(null, { __esModule: { value: true }, [Symbol.toStringTag]: { value: "Module" } });
  for (const name of Object.keys(namespace)) accessor(view, name, () => namespace[name]);
  marked.set(namespace, view);
  return view;
}
const marked = new WeakMap();

/** Compiles what no module has reached yet, so that a `require` at request time needs nothing from outside. */
function preload() {
  for (const path of Object.keys(kinds)) {
    if (commonJsCache[path] || compiled.has(path)) continue;
    if (kinds[path] === KIND_COMMONJS) compiled.set(path, native.evalModule(path));
    if (kinds[path] === KIND_JSON) compiled.set(path, native.jsonText(path));
  }
}
