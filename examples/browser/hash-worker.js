// A worker that hashes one file, so that the page stays alive meanwhile.
//
// In:  the File.
// Out: {done: bytes} again and again, then {oid} or {error}.

import { Sha256 } from "./sha256.js";

const CHUNK = 4 * 1024 * 1024;

addEventListener("message", async ({ data: file }) => {
  const read = (pos) => file.slice(pos, pos + CHUNK).arrayBuffer();
  try {
    const hash = new Sha256();
    let next = read(0);
    for (let pos = 0; pos < file.size; pos += CHUNK) {
      const bytes = new Uint8Array(await next);
      next = read(pos + CHUNK); // comes from the disk while this chunk is hashed
      hash.update(bytes);
      postMessage({ done: pos + bytes.length });
    }
    await next;
    postMessage({ oid: hash.digest() });
  } catch (error) {
    postMessage({ error: error.message });
  }
});
