/* The C side of an engine image: QuickJS behind a small ABI of exported functions.
 *
 * Design
 * - The host calls `bl_*`; each returns a status and leaves a message in the output buffer.
 * - An asynchronous host call is queued here and handed out when the job queue is empty, so that at
 *   every await the wasm stack is empty and linear memory is the whole state of an invocation.
 * - Synchronous imports are pure, or read a clock or a random source that the host controls.
 * - JavaScript that is easier in JavaScript lives in ../prelude; it talks to this file through the
 *   `native` object and gives back a `hooks` object.
 *
 * The format of the output buffer is documented in docs/formats/guest-abi.md.
 * Nothing here depends on one version of QuickJS: only functions that all of them have are used.
 */
#include "quickjs.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define EXPORT(name) __attribute__((export_name(#name))) name
#define IMPORT(name) __attribute__((import_module("belay"), import_name(#name))) host_##name

enum status { ST_DONE = 0, ST_FAILED = 1, ST_PENDING = 2, ST_BROKEN = 3, ST_DEADLOCK = 4, ST_NO_EXPORT = 5, ST_NOT_FUNCTION = 6 };
enum note { NOTE_CLOCK = 0, NOTE_RANDOM = 1, NOTE_EFFECT = 2 };
enum module_kind { MODULE_ESM = 0, MODULE_COMMONJS = 1, MODULE_JSON = 2, MODULE_BUILTIN = 3, MODULE_EMPTY = 4 };
/* How a pure import answers; beyond PURE_BYTES it is the kind of error to throw. */
enum pure { PURE_TEXT = 0, PURE_BYTES = 1, PURE_TYPE_ERROR = 2, PURE_RANGE_ERROR = 3, PURE_DOM_EXCEPTION = 4 };

extern void IMPORT(log)(uint32_t level, const char *text, uint32_t len);
extern double IMPORT(now)(void);       /* milliseconds since the epoch */
extern double IMPORT(monotonic)(void); /* milliseconds since the invocation started */
extern void IMPORT(random)(uint8_t *into, uint32_t len);
extern void IMPORT(note)(uint32_t kind, const char *text, uint32_t len);
/* Both leave their answer with the host: `take` copies it out. */
extern int64_t IMPORT(pure)(const char *op, uint32_t op_len, const char *text, uint32_t text_len, const uint8_t *bytes, uint32_t bytes_len);
extern int32_t IMPORT(module)(const char *path, uint32_t len);
extern void IMPORT(take)(uint8_t *into);

static JSRuntime *rt;
static JSContext *ctx;
static JSValue hooks, stack_probe, rejected_by_host;
static bool deploying = true;

/* ---- Buffers. Running out of memory here traps; the host knows from its limiter why. ---- */

typedef struct { uint8_t *data; uint32_t len, capacity; } Buffer;
static Buffer queued, cancelled;
static uint32_t queued_count, cancelled_count;

static void *must(void *allocated) {
  if (!allocated) __builtin_trap();
  return allocated;
}

static void put(Buffer *b, const void *data, uint32_t len) {
  if (b->len + len > b->capacity) {
    b->capacity = (b->len + len) * 2 + 256;
    b->data = must(realloc(b->data, b->capacity));
  }
  if (len) memcpy(b->data + b->len, data, len);
  b->len += len;
}

static void put_u32(Buffer *b, uint32_t value) { put(b, &value, 4); }

static void put_text(Buffer *b, const char *text, uint32_t len) {
  put_u32(b, len);
  put(b, text, len);
}

/* The host reads and writes this where it lies, so that neither a message nor an arm costs a call into the guest. Its
 * address is the same in every instance of an engine. It starts a page, which every request writes anyway, so that the
 * cells cost none of their own. What the host puts into `in` stays until its next message. */
#define PARTS_MAX 256
/* Passes through one part: how many are open, how many there were, when the outermost one began, what the last one that
 * was timed took. */
struct pass { uint32_t depth, count; double start, last_ms; };
static _Alignas(4096) struct {
  Buffer in, out;
  /* The cells of woven code. Arms: 0 before, 1 after. Reached: the arm, or NOT_REACHED. On: 1 once the arm after was
   * reached, which woven code reads before it asks. */
  uint8_t arms[PARTS_MAX], reached[PARTS_MAX];
  double time_ms[PARTS_MAX];
  uint8_t on[PARTS_MAX];
  /* The shim's own. Those of the first parts lie in the same page. */
  struct pass passes[PARTS_MAX];
} control;
#define NOT_REACHED 255
_Static_assert(offsetof(__typeof__(control), passes[40]) <= 4096, "what few parts need is one page");
void *EXPORT(bl_control)(void) { return &control; }

/* Zeroed, so that text which was only passed in does not end up in an image; volatile, so that it happens. */
static void wipe(volatile uint8_t *data, uint32_t len) {
  for (uint32_t i = 0; i < len; i++) data[i] = 0;
}

void EXPORT(bl_reserve)(uint32_t len) {
  if (deploying) wipe(control.in.data, control.in.capacity);
  free(control.in.data);
  control.in.data = must(malloc(len));
  control.in.capacity = len;
}

/* ---- Time and randomness. At deploy they are noted, because an image would freeze them. ---- */

static void note(enum note kind, const char *text, size_t text_len) {
  Buffer message = {0};
  put(&message, text, text_len);
  put(&message, "\n", 1);
  JSValue stack = JS_Call(ctx, stack_probe, JS_UNDEFINED, 0, NULL);
  size_t len;
  const char *s = JS_IsException(stack) ? NULL : JS_ToCStringLen(ctx, &len, stack);
  if (s) put(&message, s, len);
  JS_FreeCString(ctx, s);
  JS_FreeValue(ctx, stack);
  host_note(kind, (const char *)message.data, message.len);
  free(message.data);
}

static double wall_clock_ms(void) {
  if (deploying && ctx && !JS_IsUndefined(hooks)) note(NOTE_CLOCK, "", 0);
  return host_now();
}

/* These replace those of libc: QuickJS reads the time through them. */
int gettimeofday(struct timeval *restrict tv, void *restrict zone) {
  double ms = wall_clock_ms();
  tv->tv_sec = (time_t)(ms / 1000);
  tv->tv_usec = (suseconds_t)((ms - (double)tv->tv_sec * 1000) * 1000);
  return 0;
}

int clock_gettime(clockid_t clock, struct timespec *ts) {
  double ms = host_monotonic();
  ts->tv_sec = (time_t)(ms / 1000);
  ts->tv_nsec = (long)((ms - (double)ts->tv_sec * 1000) * 1000000);
  return 0;
}

static uint64_t random_state;
void EXPORT(bl_seed)(uint64_t seed) { random_state = seed; }

/* splitmix64 (Steele, Lea, Flood 2014): one word of state, so that a fork is reseeded by one store. */
static JSValue math_random(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) {
  if (deploying) note(NOTE_RANDOM, "", 0);
  uint64_t z = random_state += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  z ^= z >> 31;
  return JS_NewFloat64(c, (double)(z >> 11) * 0x1.0p-53);
}

/* ---- Calls in flight ---- */

/* `origin` is the stack at the call: when the answer comes, nothing on the stack tells who asked. id 0: free. */
typedef struct { uint32_t id; JSValue settle[2]; JSValue origin; } InFlight;
static InFlight *in_flight;
static uint32_t in_flight_capacity, in_flight_count, last_id;

static InFlight *find_in_flight(uint32_t id) {
  for (uint32_t i = 0; i < in_flight_capacity; i++)
    if (in_flight[i].id == id) return &in_flight[i];
  return NULL;
}

static InFlight *new_in_flight(void) {
  InFlight *slot = find_in_flight(0);
  if (!slot) {
    uint32_t old = in_flight_capacity;
    in_flight_capacity = old ? old * 2 : 8;
    in_flight = must(realloc(in_flight, in_flight_capacity * sizeof(InFlight)));
    memset(in_flight + old, 0, (in_flight_capacity - old) * sizeof(InFlight));
    slot = in_flight + old;
  }
  slot->id = ++last_id;
  in_flight_count++;
  return slot;
}

static void forget_in_flight(InFlight *slot) {
  slot->id = 0;
  in_flight_count--;
  JS_FreeValue(ctx, slot->settle[0]);
  JS_FreeValue(ctx, slot->settle[1]);
  JS_FreeValue(ctx, slot->origin);
}

/* The bytes of an ArrayBuffer or of a view on one; NULL and an exception for anything else. */
static uint8_t *bytes_of(JSContext *c, JSValueConst value, size_t *len) {
  size_t offset, length, width, total;
  JSValue buffer = JS_GetTypedArrayBuffer(c, value, &offset, &length, &width);
  if (JS_IsException(buffer)) {
    JS_FreeValue(c, JS_GetException(c));
    return JS_GetArrayBuffer(c, len, value);
  }
  uint8_t *base = JS_GetArrayBuffer(c, &total, buffer);
  JS_FreeValue(c, buffer);
  *len = length;
  return base ? base + offset : NULL;
}

static bool has_bytes(int argc, JSValueConst *argv, int at) {
  return argc > at && JS_IsObject(argv[at]);
}

static JSValue call_hook(const char *name, int argc, JSValueConst *argv) {
  JSValue hook = JS_GetPropertyStr(ctx, hooks, name);
  JSValue result = JS_Call(ctx, hook, hooks, argc, argv);
  JS_FreeValue(ctx, hook);
  return result;
}

static JSValue refuse_at_top_level(JSContext *c, const char *op, size_t op_len) {
  note(NOTE_EFFECT, op, op_len);
  JSValue args[2] = {JS_NewString(c, "TOP_LEVEL_EFFECT"), JS_NewStringLen(c, op, op_len)};
  JSValue error = call_hook("error", 2, (JSValueConst *)args);
  JS_FreeValue(c, args[0]);
  JS_FreeValue(c, args[1]);
  return JS_Throw(c, error);
}

static void queue_call(uint32_t id, const char *op, size_t op_len, const char *args, size_t args_len, const uint8_t *body, size_t body_len) {
  put_u32(&queued, id);
  put_text(&queued, op, op_len);
  put_text(&queued, args, args_len);
  put_u32(&queued, body != NULL);
  if (body) put_text(&queued, (const char *)body, body_len);
  queued_count++;
}

static bool never_fails(const char *op, size_t op_len) {
  return op_len == 5 && memcmp(op, "timer", 5) == 0;
}

/* native.call(op, argsJson, body?) -> Promise */
static JSValue native_call(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) {
  size_t op_len, args_len, body_len = 0;
  uint8_t *body = NULL;
  JSValue result = JS_EXCEPTION;
  const char *args = NULL, *op = JS_ToCStringLen(c, &op_len, argv[0]);
  if (!op) return JS_EXCEPTION;
  if (deploying) {
    result = refuse_at_top_level(c, op, op_len);
    goto done;
  }
  args = JS_ToCStringLen(c, &args_len, argv[1]);
  if (!args) goto done;
  if (has_bytes(argc, argv, 2)) {
    body = bytes_of(c, argv[2], &body_len);
    /* An empty buffer may have no address. */
    if (!body && body_len == 0) body = (uint8_t *)"";
  }
  JSValue settle[2];
  result = JS_NewPromiseCapability(c, settle);
  if (JS_IsException(result)) goto done;
  InFlight *slot = new_in_flight();
  slot->settle[0] = settle[0];
  slot->settle[1] = settle[1];
  slot->origin = never_fails(op, op_len) ? JS_UNDEFINED : call_hook("origin", 0, NULL);
  queue_call(slot->id, op, op_len, args, args_len, body, body_len);
done:
  JS_FreeCString(c, op);
  JS_FreeCString(c, args);
  return result;
}

static JSValue native_last_call_id(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) {
  return JS_NewInt32(c, (int32_t)last_id);
}

/* native.cancel(id): its promise never settles. */
static JSValue native_cancel(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) {
  int32_t id;
  if (JS_ToInt32(c, &id, argv[0])) return JS_EXCEPTION;
  InFlight *slot = id > 0 ? find_in_flight((uint32_t)id) : NULL;
  if (slot) {
    forget_in_flight(slot);
    put_u32(&cancelled, (uint32_t)id);
    cancelled_count++;
  }
  return JS_UNDEFINED;
}

/* ---- Synchronous natives ---- */

static JSValue native_log(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) {
  int32_t level;
  size_t len;
  if (JS_ToInt32(c, &level, argv[0])) return JS_EXCEPTION;
  const char *text = JS_ToCStringLen(c, &len, argv[1]);
  if (!text) return JS_EXCEPTION;
  host_log((uint32_t)level, text, len);
  JS_FreeCString(c, text);
  return JS_UNDEFINED;
}

static JSValue native_now(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) {
  return JS_NewFloat64(c, wall_clock_ms());
}

static JSValue native_monotonic(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) {
  if (deploying) note(NOTE_CLOCK, "", 0);
  return JS_NewFloat64(c, host_monotonic());
}

static JSValue native_random(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) {
  size_t len;
  if (deploying) note(NOTE_RANDOM, "", 0);
  uint8_t *bytes = bytes_of(c, argv[0], &len);
  if (!bytes) return JS_EXCEPTION;
  host_random(bytes, len);
  return JS_UNDEFINED;
}

static JSValue native_utf8_encode(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) {
  size_t len;
  const char *text = JS_ToCStringLen(c, &len, argv[0]);
  if (!text) return JS_EXCEPTION;
  JSValue result = JS_NewArrayBufferCopy(c, (const uint8_t *)text, len);
  if (!JS_IsException(result)) {
    /* QuickJS writes a lone surrogate as ED A0..BF xx; the standard wants U+FFFD, EF BF BD. */
    size_t total;
    uint8_t *bytes = JS_GetArrayBuffer(c, &total, result);
    for (size_t i = 0; i + 2 < len; i++)
      if (bytes[i] == 0xed && bytes[i + 1] >= 0xa0) memcpy(bytes + i, "\xef\xbf\xbd", 3);
  }
  JS_FreeCString(c, text);
  return result;
}

/* Well-formed UTF-8 only, by the table of RFC 3629. */
static bool is_utf8(const uint8_t *s, size_t len) {
  for (size_t i = 0; i < len;) {
    uint8_t b = s[i];
    if (b < 0x80) { i++; continue; }
    size_t more = b >= 0xc2 && b <= 0xdf ? 1 : (b & 0xf0) == 0xe0 ? 2 : b >= 0xf0 && b <= 0xf4 ? 3 : 0;
    if (!more || more > len - 1 - i) return false;
    uint8_t low = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80, high = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
    if (s[i + 1] < low || s[i + 1] > high) return false;
    for (size_t k = 2; k <= more; k++)
      if ((s[i + k] & 0xc0) != 0x80) return false;
    i += more + 1;
  }
  return true;
}

static JSValue native_utf8_decode(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) {
  size_t len = 0;
  uint8_t *bytes = bytes_of(c, argv[0], &len);
  if (!bytes && len == 0) {
    JS_FreeValue(c, JS_GetException(c));
    return JS_NewString(c, "");
  }
  return is_utf8(bytes, len) ? JS_NewStringLen(c, (const char *)bytes, len) : JS_UNDEFINED;
}

static JSValue throw_named(JSContext *c, const char *name, const char *message, size_t len) {
  JSValue global = JS_GetGlobalObject(c), class = JS_GetPropertyStr(c, global, name);
  JSValue text = JS_NewStringLen(c, message, len);
  JSValue error = JS_CallConstructor(c, class, 1, (JSValueConst *)&text);
  JS_FreeValue(c, text);
  JS_FreeValue(c, class);
  JS_FreeValue(c, global);
  return JS_IsException(error) ? error : JS_Throw(c, error);
}

/* The message of a DOMException is "Name\nmessage". */
static JSValue throw_dom_exception(JSContext *c, const char *message, size_t len) {
  const char *split = memchr(message, '\n', len);
  size_t name_len = split ? (size_t)(split - message) : 0;
  JSValue args[2] = {JS_NewStringLen(c, split ? split + 1 : message, split ? len - name_len - 1 : len), JS_NewStringLen(c, message, name_len)};
  JSValue error = call_hook("domException", 2, (JSValueConst *)args);
  JS_FreeValue(c, args[0]);
  JS_FreeValue(c, args[1]);
  return JS_IsException(error) ? error : JS_Throw(c, error);
}

static JSValue pure_result(JSContext *c, enum pure kind, const uint8_t *data, size_t len) {
  switch (kind) {
  case PURE_TEXT: return JS_NewStringLen(c, (const char *)data, len);
  case PURE_BYTES: return JS_NewArrayBufferCopy(c, data, len);
  case PURE_TYPE_ERROR: return throw_named(c, "TypeError", (const char *)data, len);
  case PURE_RANGE_ERROR: return throw_named(c, "RangeError", (const char *)data, len);
  default: return throw_dom_exception(c, (const char *)data, len);
  }
}

/* native.pure(op, text, bytes?) -> string | ArrayBuffer */
static JSValue native_pure(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) {
  size_t op_len, text_len, len = 0;
  uint8_t *bytes = NULL;
  const char *op = JS_ToCStringLen(c, &op_len, argv[0]);
  const char *text = op ? JS_ToCStringLen(c, &text_len, argv[1]) : NULL;
  JSValue result = JS_EXCEPTION;
  if (text && has_bytes(argc, argv, 2)) {
    bytes = bytes_of(c, argv[2], &len);
    if (!bytes) JS_FreeValue(c, JS_GetException(c));
    if (!bytes) len = 0;
  }
  if (text) {
    int64_t answer = host_pure(op, op_len, text, text_len, bytes, len);
    uint32_t answer_len = (uint32_t)answer;
    uint8_t *data = must(malloc(answer_len ? answer_len : 1));
    host_take(data);
    result = pure_result(c, (enum pure)(answer >> 32), data, answer_len);
    free(data);
  }
  JS_FreeCString(c, op);
  JS_FreeCString(c, text);
  return result;
}

/* ---- Woven code: which arm of each part holds, what was reached, how long it took. ---- */

/* Where the signature differs, the engine's manifest defines it. */
#ifndef BORROWING_ARRAY_BUFFER
#define BORROWING_ARRAY_BUFFER(c, data, len) JS_NewArrayBuffer(c, data, len, NULL, NULL, false)
#endif

static void clear_cells(void) {
  memset(control.arms, 0, sizeof control.arms);
  memset(control.reached, NOT_REACHED, sizeof control.reached);
  memset(control.time_ms, 0, sizeof control.time_ms);
  memset(control.on, 0, sizeof control.on);
}

/* What is no number of a part is left alone: woven code gives literals. */
static bool is_part(JSValueConst number, uint32_t *part) {
  if (JS_VALUE_GET_TAG(number) != JS_TAG_INT) return false;
  *part = (uint32_t)JS_VALUE_GET_INT(number);
  return *part < PARTS_MAX;
}

/* native.wovenArm(part) */
static JSValue native_woven_arm(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) {
  uint32_t part;
  if (!is_part(argv[0], &part)) return JS_NewInt32(c, 0);
  control.reached[part] = control.on[part] = control.arms[part] == 1;
  return JS_NewInt32(c, control.on[part]);
}

/* native.isProxy(value) */
static JSValue native_is_proxy(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) {
  return JS_NewBool(c, JS_IsProxy(argv[0]));
}

/* Time inside parts. Of passes within passes the outermost one counts. The first ones of a request are timed, and then one
   in so many; those between are taken to be like the one before them, since a loop would else spend more on the clock than
   on its work. Nothing is timed at deploy: an image holds no time. */
enum { TIMED_FIRST = 8, TIMED_EVERY = 8 };

static struct pass *pass_of(JSValueConst number, uint32_t *part) {
  return !deploying && is_part(number, part) ? &control.passes[*part] : NULL;
}

static bool is_timed(const struct pass *pass) {
  return pass->count <= TIMED_FIRST || pass->count % TIMED_EVERY == 1;
}

/* native.wovenEnter(part) */
static JSValue native_woven_enter(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) {
  uint32_t part;
  struct pass *pass = pass_of(argv[0], &part);
  if (!pass || pass->depth++ > 0) return JS_UNDEFINED;
  pass->count++;
  if (is_timed(pass)) pass->start = host_monotonic();
  return JS_UNDEFINED;
}

/* native.wovenLeave(part) */
static JSValue native_woven_leave(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) {
  uint32_t part;
  struct pass *pass = pass_of(argv[0], &part);
  if (!pass || pass->depth == 0 || --pass->depth > 0) return JS_UNDEFINED;
  if (is_timed(pass)) pass->last_ms = host_monotonic() - pass->start;
  control.time_ms[part] += pass->last_ms;
  return JS_UNDEFINED;
}

static JSValue native_deploy_phase(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) {
  return JS_NewBool(c, deploying);
}

/* ---- Modules. Their text comes from the host, at deploy only; afterwards all are compiled. ---- */

typedef struct { enum module_kind kind; char *exports; uint32_t exports_len; char *code; uint32_t code_len; uint8_t *all; uint32_t all_len; } Source;

static uint32_t read_u32(const uint8_t **at) {
  uint32_t value;
  memcpy(&value, *at, 4);
  *at += 4;
  return value;
}

/* Layout: kind u32, exports (length u32, names each ended by NUL), code (length u32, ended by NUL). */
static bool get_source(const char *path, Source *source) {
  int32_t len = deploying ? host_module(path, strlen(path)) : -1;
  if (len < 0) return false;
  source->all = must(malloc(len));
  source->all_len = (uint32_t)len;
  host_take(source->all);
  const uint8_t *at = source->all;
  source->kind = (enum module_kind)read_u32(&at);
  source->exports_len = read_u32(&at);
  source->exports = (char *)at;
  at += source->exports_len;
  source->code_len = read_u32(&at);
  source->code = (char *)at;
  return true;
}

static void drop_source(Source *source) {
  wipe(source->all, source->all_len);
  free(source->all);
}

typedef struct Module { struct Module *next; JSModuleDef *def; char *path, *exports; uint32_t exports_len; bool evaluated; } Module;
static Module *modules;

static Module *find_module(const char *path, JSModuleDef *def) {
  for (Module *m = modules; m; m = m->next)
    if (def ? m->def == def : !strcmp(m->path, path)) return m;
  return NULL;
}

static void *copy(const void *data, size_t len) { return len ? memcpy(must(malloc(len)), data, len) : NULL; }

static void remember_module(const char *path, JSModuleDef *def, const Source *source) {
  Module *m = must(malloc(sizeof(Module)));
  *m = (Module){modules, def, copy(path, strlen(path) + 1), copy(source->exports, source->exports_len), source->exports_len, false};
  modules = m;
}

static JSValue require_path(const char *path) {
  JSValue name = JS_NewString(ctx, path);
  JSValue value = call_hook("require", 1, (JSValueConst *)&name);
  JS_FreeValue(ctx, name);
  return value;
}

/* A module that is not an ES module: its value is what `require` gives; its named exports are that value's properties. */
static int init_foreign(JSContext *c, JSModuleDef *def) {
  Module *m = find_module(NULL, def);
  JSValue value = m ? require_path(m->path) : JS_EXCEPTION;
  if (JS_IsException(value)) return -1;
  for (const char *name = m->exports; name && name < m->exports + m->exports_len; name += strlen(name) + 1) {
    bool is_default = !strcmp(name, "default") || !strcmp(name, "module.exports");
    JSValue export = is_default || !JS_IsObject(value) ? JS_DupValue(c, value) : JS_GetPropertyStr(c, value, name);
    if (JS_IsException(export) || JS_SetModuleExport(c, def, name, export)) {
      JS_FreeValue(c, value);
      return -1;
    }
  }
  JS_FreeValue(c, value);
  return 0;
}

static JSModuleDef *compile_foreign(JSContext *c, const char *path, const Source *source) {
  JSModuleDef *def = JS_NewCModule(c, path, init_foreign);
  if (!def) return NULL;
  for (const char *name = source->exports; name < source->exports + source->exports_len; name += strlen(name) + 1)
    if (JS_AddModuleExport(c, def, name)) return NULL;
  return def;
}

static void set_import_meta(JSContext *c, JSModuleDef *def, const char *path) {
  JSValue meta = JS_GetImportMeta(c, def), name = JS_NewString(c, path);
  JSValue url = call_hook("moduleUrl", 1, (JSValueConst *)&name);
  JS_SetPropertyStr(c, meta, "url", url);
  JS_SetPropertyStr(c, meta, "filename", name);
  JS_FreeValue(c, meta);
}

static JSModuleDef *compile_esm(JSContext *c, const char *path, const Source *source) {
  JSValue value = JS_Eval(c, source->code, source->code_len, path, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
  if (JS_IsException(value)) return NULL;
  JSModuleDef *def = JS_VALUE_GET_PTR(value);
  JS_FreeValue(c, value);
  set_import_meta(c, def, path);
  return def;
}

static JSModuleDef *load_module(JSContext *c, const char *path, void *opaque) {
  Source source;
  if (!get_source(path, &source)) {
    JS_ThrowReferenceError(c, "module '%s' is not part of this deploy", path);
    return NULL;
  }
  JSModuleDef *def = (source.kind == MODULE_ESM ? compile_esm : compile_foreign)(c, path, &source);
  if (def) remember_module(path, def, &source);
  drop_source(&source);
  return def;
}

/* The host's own loads have no base; every other specifier is looked up in the module graph. */
static char *normalize_module(JSContext *c, const char *base, const char *specifier, void *opaque) {
  if (!*base) return js_strdup(c, specifier);
  JSValue args[2] = {JS_NewString(c, base), JS_NewString(c, specifier)};
  JSValue target = call_hook("resolve", 2, (JSValueConst *)args);
  JS_FreeValue(c, args[0]);
  JS_FreeValue(c, args[1]);
  const char *path = JS_IsException(target) ? NULL : JS_ToCString(c, target);
  char *owned = path ? js_strdup(c, path) : NULL;
  JS_FreeCString(c, path);
  JS_FreeValue(c, target);
  return owned;
}

/* The code of a CommonJS module (its wrapper function) or the text of a JSON module. */
static JSValue source_value(JSContext *c, JSValueConst name, bool evaluate) {
  Source source;
  const char *path = JS_ToCString(c, name);
  if (!path) return JS_EXCEPTION;
  JSValue value;
  if (!get_source(path, &source)) value = JS_ThrowReferenceError(c, "module '%s' is not part of this deploy", path);
  else {
    value = evaluate ? JS_Eval(c, source.code, source.code_len, path, JS_EVAL_TYPE_GLOBAL) : JS_NewStringLen(c, source.code, source.code_len);
    drop_source(&source);
  }
  JS_FreeCString(c, path);
  return value;
}

static JSValue native_eval_module(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) { return source_value(c, argv[0], true); }
static JSValue native_json_text(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) { return source_value(c, argv[0], false); }

/* native.namespace(path): an ES module, evaluated at once; used by `require`. */
static JSValue native_namespace(JSContext *c, JSValueConst this_value, int argc, JSValueConst *argv) {
  const char *path = JS_ToCString(c, argv[0]);
  if (!path) return JS_EXCEPTION;
  Module *m = find_module(path, NULL);
  JSModuleDef *def = m ? m->def : load_module(c, path, NULL);
  JS_FreeCString(c, path);
  if (!def) return JS_EXCEPTION;
  JSValue promise = JS_EvalFunction(c, JS_DupValue(c, JS_MKPTR(JS_TAG_MODULE, def)));
  if (JS_IsException(promise)) return promise;
  int state = JS_PromiseState(c, promise);
  JSValue reason = state == JS_PROMISE_REJECTED ? JS_PromiseResult(c, promise) : JS_UNDEFINED;
  JS_FreeValue(c, promise);
  if (state == JS_PROMISE_REJECTED) return JS_Throw(c, reason);
  if (state == JS_PROMISE_PENDING) return JS_ThrowTypeError(c, "require() of an ES module with top-level await");
  return JS_GetModuleNamespace(c, def);
}

/* ---- Rejections that nobody handles ---- */

typedef struct { JSValue promise, reason; } Rejection;
static Rejection *rejections;
static uint32_t rejection_count, rejection_capacity;

static void track_rejection(JSContext *c, JSValueConst promise, JSValueConst reason, int is_handled, void *opaque) {
  if (!is_handled) {
    if (rejection_count == rejection_capacity) {
      rejection_capacity = rejection_capacity * 2 + 8;
      rejections = must(realloc(rejections, rejection_capacity * sizeof(Rejection)));
    }
    rejections[rejection_count++] = (Rejection){JS_DupValue(c, promise), JS_DupValue(c, reason)};
    return;
  }
  for (uint32_t i = 0; i < rejection_count; i++) {
    if (JS_VALUE_GET_PTR(rejections[i].promise) != JS_VALUE_GET_PTR(promise)) continue;
    JS_FreeValue(c, rejections[i].promise);
    JS_FreeValue(c, rejections[i].reason);
    rejections[i] = rejections[--rejection_count];
    return;
  }
}

/* ---- Running ---- */

static JSValue main_promise;
static JSValue *entries;
static uint32_t entry_count;

/* Takes `error`; leaves its JSON description (hooks.describe) in the output buffer. */
static int fail_with(JSValue error) {
  JSValue text = call_hook("describe", 1, (JSValueConst *)&error);
  size_t len;
  const char *s = JS_IsException(text) ? NULL : JS_ToCStringLen(ctx, &len, text);
  control.out.len = 0;
  if (s) put(&control.out, s, len);
  else JS_FreeValue(ctx, JS_GetException(ctx));
  JS_FreeCString(ctx, s);
  JS_FreeValue(ctx, text);
  JS_FreeValue(ctx, error);
  return ST_FAILED;
}

static int fail(void) { return fail_with(JS_GetException(ctx)); }

static int finish(JSValue value) {
  JSValue json = JS_JSONStringify(ctx, value, JS_UNDEFINED, JS_UNDEFINED);
  JS_FreeValue(ctx, value);
  if (JS_IsException(json)) return fail();
  size_t len = 4;
  const char *text = JS_IsUndefined(json) ? "null" : JS_ToCStringLen(ctx, &len, json);
  if (!text) return fail();
  control.out.len = 0;
  put(&control.out, text, len);
  if (!JS_IsUndefined(json)) JS_FreeCString(ctx, text);
  JS_FreeValue(ctx, json);
  return ST_DONE;
}

static int hand_out_calls(void) {
  control.out.len = 0;
  put_u32(&control.out, queued_count);
  put(&control.out, queued.data, queued.len);
  put_u32(&control.out, cancelled_count);
  put(&control.out, cancelled.data, cancelled.len);
  queued.len = cancelled.len = queued_count = cancelled_count = 0;
  return ST_PENDING;
}

static int unhandled_rejection(void) {
  for (uint32_t i = 0; i < rejection_count; i++) {
    if (JS_IsObject(main_promise) && JS_VALUE_GET_PTR(rejections[i].promise) == JS_VALUE_GET_PTR(main_promise)) continue;
    return fail_with(JS_DupValue(ctx, rejections[i].reason));
  }
  return ST_DONE;
}

static JSValue take_main(void) {
  JSValue result = JS_PromiseResult(ctx, main_promise);
  JS_FreeValue(ctx, main_promise);
  main_promise = JS_UNDEFINED;
  return result;
}

/* Runs jobs until none is left, then says how the invocation stands. */
int EXPORT(bl_pump)(void) {
  JSContext *job_ctx;
  int ran;
  JS_UpdateStackTop(rt);
  while ((ran = JS_ExecutePendingJob(rt, &job_ctx)) > 0) {}
  if (ran < 0) return fail();
  int state = JS_PromiseState(ctx, main_promise);
  if (state == JS_PROMISE_REJECTED) return fail_with(take_main());
  if (unhandled_rejection() != ST_DONE) return ST_FAILED;
  if (state == JS_PROMISE_PENDING) return in_flight_count ? hand_out_calls() : ST_DEADLOCK;
  return finish(take_main());
}

/* Takes a value that may be a promise or another thenable, as `await` would. */
static JSValue as_promise(JSValue value) {
  int state = JS_PromiseState(ctx, value);
  if (state == JS_PROMISE_PENDING || state == JS_PROMISE_REJECTED || state == JS_PROMISE_FULFILLED) return value;
  JSValue settle[2], promise = JS_NewPromiseCapability(ctx, settle);
  if (!JS_IsException(promise)) {
    JS_FreeValue(ctx, JS_Call(ctx, settle[0], JS_UNDEFINED, 1, (JSValueConst *)&value));
    JS_FreeValue(ctx, settle[0]);
    JS_FreeValue(ctx, settle[1]);
  }
  JS_FreeValue(ctx, value);
  return promise;
}

/* Runs the handler of `entry` until it ends or waits. Both texts end with a NUL that their length does not count. */
int EXPORT(bl_start)(uint32_t entry, const char *event, uint32_t event_len, const char *meta, uint32_t meta_len, uint32_t stack_bytes, uint64_t seed) {
  if (entry >= entry_count) return ST_BROKEN;
  random_state = seed;
  JS_SetMaxStackSize(rt, stack_bytes);
  JS_UpdateStackTop(rt);
  JSValue text = JS_NewStringLen(ctx, meta, meta_len);
  JSValue args[2] = {JS_ParseJSON(ctx, event, event_len, "<event>"), JS_UNDEFINED};
  if (JS_IsException(args[0])) return fail();
  args[1] = call_hook("context", 1, (JSValueConst *)&text);
  JS_FreeValue(ctx, text);
  if (JS_IsException(args[1])) return fail();
  JSValue result = JS_Call(ctx, entries[entry], JS_UNDEFINED, 2, (JSValueConst *)args);
  JS_FreeValue(ctx, args[0]);
  JS_FreeValue(ctx, args[1]);
  if (JS_IsException(result)) return fail();
  main_promise = as_promise(result);
  return JS_IsException(main_promise) ? fail() : bl_pump();
}

static JSValue settled_value(JSValueConst origin, bool is_error, const char *json, uint32_t json_len, const uint8_t *body, uint32_t body_len) {
  JSValue value = JS_ParseJSON(ctx, json, json_len, "<outcome>");
  if (JS_IsException(value)) return value;
  if (is_error) {
    JSValue args[3] = {JS_GetPropertyStr(ctx, value, "code"), JS_GetPropertyStr(ctx, value, "message"), origin};
    JSValue error = call_hook("error", 3, (JSValueConst *)args);
    JS_FreeValue(ctx, args[0]);
    JS_FreeValue(ctx, args[1]);
    JS_FreeValue(ctx, value);
    return error;
  }
  if (body && JS_IsObject(value)) JS_SetPropertyStr(ctx, value, "body", JS_NewArrayBufferCopy(ctx, body, body_len));
  return value;
}

/* Settles a call. The caller pumps, after one or several. A call that was cancelled is ignored. */
int EXPORT(bl_resolve)(uint32_t id, uint32_t is_error, const char *json, uint32_t json_len, const uint8_t *body, uint32_t body_len) {
  JS_UpdateStackTop(rt);
  InFlight *slot = id ? find_in_flight(id) : NULL;
  if (!slot) return ST_DONE;
  JSValue value = settled_value(slot->origin, is_error, json, json_len, body, body_len);
  if (JS_IsException(value)) {
    value = JS_GetException(ctx);
    is_error = true;
  }
  JSValue settle = JS_DupValue(ctx, slot->settle[is_error ? 1 : 0]);
  forget_in_flight(slot);
  JS_FreeValue(ctx, JS_Call(ctx, settle, JS_UNDEFINED, 1, (JSValueConst *)&value));
  JS_FreeValue(ctx, settle);
  JS_FreeValue(ctx, value);
  return ST_DONE;
}

/* ---- Making an image ---- */

typedef struct { const char *name; JSCFunction *function; int length; } Native;
static const Native natives[] = {
  {"call", native_call, 3}, {"lastCallId", native_last_call_id, 0}, {"cancel", native_cancel, 1}, {"pure", native_pure, 3},
  {"log", native_log, 2}, {"now", native_now, 0}, {"monotonic", native_monotonic, 0}, {"random", native_random, 1},
  {"utf8Encode", native_utf8_encode, 1}, {"utf8Decode", native_utf8_decode, 1}, {"evalModule", native_eval_module, 1},
  {"jsonText", native_json_text, 1}, {"namespace", native_namespace, 1},
  {"deployPhase", native_deploy_phase, 0}, {"wovenArm", native_woven_arm, 1}, {"wovenEnter", native_woven_enter, 1}, {"wovenLeave", native_woven_leave, 1},
  {"isProxy", native_is_proxy, 1},
};

static JSValue make_native(void) {
  JSValue native = JS_NewObject(ctx);
  for (size_t i = 0; i < sizeof natives / sizeof *natives; i++)
    JS_SetPropertyStr(ctx, native, natives[i].name, JS_NewCFunction(ctx, natives[i].function, natives[i].name, natives[i].length));
  JS_SetPropertyStr(ctx, native, "wovenCells", BORROWING_ARRAY_BUFFER(ctx, control.on, sizeof control.on));
  return native;
}

static void replace_math_random(void) {
  JSValue global = JS_GetGlobalObject(ctx), math = JS_GetPropertyStr(ctx, global, "Math");
  JS_DefinePropertyValueStr(ctx, math, "random", JS_NewCFunction(ctx, math_random, "random", 0), JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE);
  JS_FreeValue(ctx, math);
  JS_FreeValue(ctx, global);
}

/* Leaves an error in the output buffer before hooks.describe exists. */
static int broken(void) {
  JSValue error = JS_GetException(ctx), stack = JS_GetPropertyStr(ctx, error, "stack");
  const char *text = JS_ToCString(ctx, error), *frames = JS_ToCString(ctx, stack);
  control.out.len = 0;
  if (text) put(&control.out, text, strlen(text));
  if (frames) put(&control.out, "\n", 1), put(&control.out, frames, strlen(frames));
  return ST_BROKEN;
}

static void make_context(uint32_t stack_bytes) {
  hooks = stack_probe = main_promise = JS_UNDEFINED;
  clear_cells();
  rt = must(JS_NewRuntime());
  JS_SetMaxStackSize(rt, stack_bytes);
  ctx = must(JS_NewContext(rt));
}

/* Older versions cannot leave the source text out. */
#ifndef JS_WRITE_OBJ_STRIP_SOURCE
#define JS_WRITE_OBJ_STRIP_SOURCE 0
#endif

/* Compiles the prelude, a function expression from `native` to `hooks`, to bytecode. It is done in an instance of
 * its own, so that the engine memory holds neither the source nor what the compiler left on the heap: every
 * page that is not there need not be looked at when a request is reset. */
int EXPORT(bl_compile_prelude)(const char *prelude, uint32_t prelude_len, uint32_t stack_bytes) {
  make_context(stack_bytes);
  JSValue compiled = JS_Eval(ctx, prelude, prelude_len, "belay:prelude", JS_EVAL_TYPE_GLOBAL | JS_EVAL_FLAG_COMPILE_ONLY);
  if (JS_IsException(compiled)) return broken();
  size_t len;
  uint8_t *bytecode = JS_WriteObject(ctx, &len, compiled, JS_WRITE_OBJ_BYTECODE | JS_WRITE_OBJ_STRIP_SOURCE);
  if (!bytecode) return broken();
  control.out.len = 0;
  put(&control.out, bytecode, len);
  return ST_DONE;
}

/* Makes the runtime and evaluates the compiled prelude. */
int EXPORT(bl_init)(const uint8_t *bytecode, uint32_t bytecode_len, uint32_t stack_bytes) {
  make_context(stack_bytes);
  JS_SetModuleLoaderFunc(rt, normalize_module, load_module, NULL);
  JS_SetHostPromiseRejectionTracker(rt, (JSHostPromiseRejectionTracker *)track_rejection, NULL);
  replace_math_random();
  const char probe[] = "(() => new Error().stack)";
  stack_probe = JS_Eval(ctx, probe, sizeof probe - 1, "belay:probe", JS_EVAL_TYPE_GLOBAL);
  JSValue prelude = JS_ReadObject(ctx, bytecode, bytecode_len, JS_READ_OBJ_BYTECODE);
  if (JS_IsException(prelude)) return broken();
  JSValue make_hooks = JS_EvalFunction(ctx, prelude);
  if (JS_IsException(make_hooks)) return broken();
  JSValue native = make_native();
  JSValue made = JS_Call(ctx, make_hooks, JS_UNDEFINED, 1, (JSValueConst *)&native);
  JS_FreeValue(ctx, native);
  JS_FreeValue(ctx, make_hooks);
  if (JS_IsException(made)) return broken();
  hooks = made;
  JS_RunGC(rt);
  bl_reserve(0);
  return ST_DONE;
}

/* Calls hooks[name](text) at deploy. */
int EXPORT(bl_hook)(const char *name, const char *text, uint32_t text_len) {
  JS_UpdateStackTop(rt);
  JSValue arg = JS_NewStringLen(ctx, text, text_len);
  JSValue result = call_hook(name, 1, (JSValueConst *)&arg);
  JS_FreeValue(ctx, arg);
  if (JS_IsException(result)) return fail();
  JS_FreeValue(ctx, result);
  return ST_DONE;
}

/* Evaluates a module and what it imports; afterwards its namespace is what bl_entry looks into. */
int EXPORT(bl_load)(const char *path) {
  JS_UpdateStackTop(rt);
  main_promise = JS_LoadModule(ctx, "", path);
  if (JS_IsException(main_promise)) return fail();
  JSContext *job_ctx;
  int ran;
  while ((ran = JS_ExecutePendingJob(rt, &job_ctx)) > 0) {}
  if (ran < 0) return fail();
  int state = JS_PromiseState(ctx, main_promise);
  if (state == JS_PROMISE_REJECTED) return fail_with(take_main());
  if (unhandled_rejection() != ST_DONE) return ST_FAILED;
  if (state == JS_PROMISE_PENDING) return ST_DEADLOCK;
  JS_FreeValue(ctx, take_main());
  return ST_DONE;
}

/* Compiles a module without running it, so that a dynamic import finds it at request time. */
int EXPORT(bl_compile)(const char *path) {
  JS_UpdateStackTop(rt);
  return find_module(path, NULL) || load_module(ctx, path, NULL) ? ST_DONE : fail();
}

/* Adds a handler; its index is the number of handlers added before. */
int EXPORT(bl_entry)(const char *path, const char *export) {
  JS_UpdateStackTop(rt);
  Module *m = find_module(path, NULL);
  if (!m) return ST_NO_EXPORT;
  JSValue namespace = JS_GetModuleNamespace(ctx, m->def);
  JSValue handler = JS_IsException(namespace) ? namespace : JS_GetPropertyStr(ctx, namespace, export);
  JS_FreeValue(ctx, namespace);
  if (JS_IsException(handler)) return fail();
  if (JS_IsUndefined(handler)) return ST_NO_EXPORT;
  if (!JS_IsFunction(ctx, handler)) return ST_NOT_FUNCTION;
  entries = must(realloc(entries, (entry_count + 1) * sizeof(JSValue)));
  entries[entry_count++] = handler;
  return ST_DONE;
}

/* Ends the deploy: garbage is collected, a request gets this much heap before it must collect or grow, and no part has
 * been reached. */
int EXPORT(bl_seal)(uint32_t slack_bytes, uint32_t in_bytes) {
  JSMemoryUsage usage;
  JS_UpdateStackTop(rt);
  JS_RunGC(rt);
  JS_ComputeMemoryUsage(rt, &usage);
  JS_SetGCThreshold(rt, (size_t)usage.malloc_size + 8 * 1024 * 1024);
  bl_reserve(in_bytes);
  clear_cells();
  void *volatile slack = malloc(slack_bytes);
  free(slack);
  deploying = false;
  return ST_DONE;
}
