// SHA-256 (FIPS 180-4) of bytes that come one piece after another.
//
// The browser's own crypto.subtle.digest() wants everything at once, so it cannot
// hash a file that is larger than the memory.

/** The first 32 bits of a number's fraction. */
const fraction = (number) => ((number % 1) * 2 ** 32) | 0;

const primes = [];
for (let n = 2; primes.length < 64; n++) {
  if (primes.every((prime) => n % prime)) primes.push(n);
}
const K = Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime)));
const START = Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));

const BLOCK = 64;

export class Sha256 {
  #state = START.slice();
  #words = new Int32Array(64);
  #rest = new Uint8Array(BLOCK);
  #length = 0;

  /** Take the next bytes, a Uint8Array. */
  update(bytes) {
    let pos = 0;
    const held = this.#length % BLOCK;
    this.#length += bytes.length;
    if (held) {
      pos = Math.min(BLOCK - held, bytes.length);
      this.#rest.set(bytes.subarray(0, pos), held);
      if (held + pos < BLOCK) return;
      this.#compress(this.#rest, 0);
    }
    for (; pos + BLOCK <= bytes.length; pos += BLOCK) this.#compress(bytes, pos);
    this.#rest.set(bytes.subarray(pos));
  }

  /** Return the digest in hexadecimal. Nothing more may come. */
  digest() {
    const length = this.#length;
    // A one, zeros, and the length in 64 bits, up to the end of a block.
    const padding = new Uint8Array(BLOCK + 8 - ((length + 8) % BLOCK));
    padding[0] = 0x80;
    const end = new DataView(padding.buffer, padding.length - 8);
    end.setUint32(0, Math.floor(length / 2 ** 29));
    end.setUint32(4, (length * 8) % 2 ** 32);
    this.update(padding);
    return Array.from(this.#state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }

  #compress(bytes, pos) {
    const w = this.#words;
    for (let i = 0; i < 16; i++, pos += 4) {
      w[i] = (bytes[pos] << 24) | (bytes[pos + 1] << 16) | (bytes[pos + 2] << 8) | bytes[pos + 3];
    }
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15];
      const y = w[i - 2];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    const state = this.#state;
    // Not destructured: that would go through an iterator, for every block.
    let a = state[0];
    let b = state[1];
    let c = state[2];
    let d = state[3];
    let e = state[4];
    let f = state[5];
    let g = state[6];
    let h = state[7];
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + t1) | 0;
      d = c;
      c = b;
      b = a;
      a = (t1 + t2) | 0;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
  }
}
