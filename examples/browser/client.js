// HTTP requests that are tried again, with their progress.
//
// XMLHttpRequest and not fetch(): only it tells how much of a body is sent.

/** How often a request is tried, of a server that has answered before. */
const ATTEMPTS = 8;

/** The longest to wait between two attempts, in seconds. */
const LONGEST_WAIT = 30;

/** Headers that browsers set by themselves, and let nobody else set. */
const FORBIDDEN = new Set(["content-length", "host"]);

/** An answer that is no success. */
export class Refusal extends Error {
  constructor(request) {
    super(reasonIn(request.responseText) || `${request.status} ${request.statusText}`.trim());
    this.status = request.status;
    this.temporary = [408, 425, 429, 500, 502, 503, 504].includes(request.status);
    this.retryAfter = Number(request.getResponseHeader("Retry-After")) || undefined;
  }
}

/** There was no answer, or the page may not read it: a browser does not tell which. */
export class Unreachable extends Error {
  temporary = true;

  constructor(href) {
    super(`No answer from ${new URL(href).origin}`);
    this.origin = new URL(href).origin;
  }
}

export class Client {
  #reached = new Set();
  #onWait;

  /** @param {(error: Error, seconds: number) => void} onWait is told of each wait. */
  constructor(onWait = () => {}) {
    this.#onWait = onWait;
  }

  /**
   * Do what an action of a batch reply says.
   *
   * @param {{href: string, method: string, header?: object}} action
   * @param {Blob | string} body
   * @param {AbortSignal} signal ends it early; its reason is what is thrown.
   * @param {(sent: number) => void} progress is told how many bytes are sent.
   * @returns {Promise<string>} the body of the answer.
   */
  async send(action, body, signal, progress = () => {}) {
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await sendOnce(action, body, signal, progress);
        this.#reached.add(new URL(action.href).origin);
        return answer;
      } catch (error) {
        progress(0);
        if (error instanceof Unreachable && body instanceof Blob) await checkReadable(body);
        if (error instanceof Refusal) this.#reached.add(new URL(action.href).origin);
        // Who has never answered does not let this page in, most likely.
        const attempts = this.#reached.has(new URL(action.href).origin) ? ATTEMPTS : 2;
        if (signal.aborted || !error.temporary || attempt >= attempts) throw error;
        const seconds = error.retryAfter ?? Math.min(2 ** (attempt - 1), LONGEST_WAIT);
        this.#onWait(error, seconds);
        // Not all at the same time, if many parts wait.
        await sleep(seconds * (1 + Math.random() / 4), signal);
      }
    }
  }
}

function sendOnce({ href, method, header = {} }, body, signal, progress) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    request.open(method, href);
    for (const [name, value] of Object.entries(header)) {
      if (!FORBIDDEN.has(name.toLowerCase())) request.setRequestHeader(name, value);
    }
    const stop = () => request.abort();
    signal.addEventListener("abort", stop);
    request.upload.addEventListener("progress", (event) => progress(event.loaded));
    request.addEventListener("loadend", () => {
      signal.removeEventListener("abort", stop);
      if (signal.aborted) reject(signal.reason);
      else if (request.status === 0) reject(new Unreachable(href));
      else if (request.status >= 200 && request.status < 300) resolve(request.responseText);
      else reject(new Refusal(request));
    });
    request.send(body);
  });
}

/** Return what the server says about an error, if it says it as the LFS API does. */
function reasonIn(text) {
  try {
    return JSON.parse(text).message;
  } catch {
    return undefined;
  }
}

async function checkReadable(blob) {
  try {
    await blob.slice(0, 1).arrayBuffer();
  } catch {
    throw new Error("The file cannot be read any more: it has changed, or it is gone.");
  }
}

/** Wait, unless `signal` says to stop. */
export function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    signal.addEventListener("abort", stop, { once: true });
  });
}
