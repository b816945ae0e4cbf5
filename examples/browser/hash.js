// The oid of a file: its SHA-256, computed in a worker.

/**
 * Hash a file, however large it is.
 *
 * @param {File} file
 * @param {(done: number) => void} progress is told how many bytes are done.
 * @param {AbortSignal} signal ends it early.
 * @returns {Promise<string>} the digest in hexadecimal.
 */
export function hashFile(file, progress, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const worker = new Worker("hash-worker.js", { type: "module" });
    const end = (settle, value) => {
      worker.terminate();
      settle(value);
    };
    signal.addEventListener("abort", () => end(reject, signal.reason), { once: true });
    worker.addEventListener("error", () => end(reject, new Error("The worker cannot be started.")));
    worker.addEventListener("message", ({ data }) => {
      if (data.oid) end(resolve, data.oid);
      else if (data.error) end(reject, new Error(`The file cannot be read: ${data.error}`));
      else progress(data.done);
    });
    worker.postMessage(file);
  });
}
