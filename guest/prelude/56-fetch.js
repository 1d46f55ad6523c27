// `fetch`: one `http.fetch` call to the host, which follows redirects, applies the egress policy and its limits, and
// answers with the whole body. Aborting drops the call.

/** Sends a request and answers a Response; rejects with the host's own error, or the signal's reason. */
async function send(request) {
  request.signal.throwIfAborted();
  const { body } = request;
  if (body !== null) return sendBody(request, stackHere());
  return exchange(request, undefined);
}

/** Reading the body takes turns, after which the stack no longer tells who called. */
async function sendBody(request, origin) {
  const bytes = await takeBody(request);
  request.signal.throwIfAborted();
  return exchange(request, bytes).catch((error) => {
    throw hostErrors.has(error) ? withOrigin(error, origin) : error;
  });
}

async function exchange(request, bytes) {
  const args = {
    method: request.method,
    url: request.url,
    headers: headerList(request.headers),
    redirect: request.redirect,
    timeoutMs: requestTimeout(request),
  };
  const answer = await abortable(request.signal, () => native.call("http.fetch", jsonText(args), bytes));
  return hostResponse(answer);
}

/** A host call that is dropped when the signal aborts. */
function abortable(signal, start) {
  return new Promise((resolve, reject) => {
    const waiting = start();
    const call = native.lastCallId();
    const stop = () => {
      native.cancel(call);
      reject(signal.reason);
    };
    aborting.add(signal, stop);
    const settle = (next) => (value) => {
      aborting.remove(signal, stop);
      next(value);
    };
    waiting.then(settle(resolve), settle(reject));
  });
}

/** What `fetch` rejects with: a TypeError, as the standard says, that carries the host's code and error. */
function fetchError(error) {
  if (!hostErrors.has(error)) return error;
  const wrapped = new TypeError(`fetch failed: ${error.message}`, { cause: error });
  wrapped.code = error.code;
  return withOrigin(wrapped, error.stack);
}

publishFunctions({
  fetch(input, init = undefined) {
    if (native.deployPhase()) native.call("http.fetch", "{}");
    return attempt(() => send(new Request(input, init))).catch((error) => {
      throw fetchError(error);
    });
  },
});
