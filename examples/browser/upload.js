// Git LFS: the batch request, uploads by "multipart-basic" and "basic", downloads.
//
// https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md

import { sleep } from "./client.js";

const MEDIA_TYPE = "application/vnd.git-lfs+json";

/** How many parts are sent at the same time. */
const PARALLEL = 3;

/** Answers that mean: ask again what there is to do. */
const OUTDATED = [401, 403, 404, 409, 410, 412];

/** How often that may happen without anything coming of it. */
const MAX_STALE = 3;

/** A repository on a server. */
export class Repository {
  #url;
  #token;

  /**
   * @param {Client} client
   * @param {string} server the server's root, such as https://lfs.example.com
   * @param {string} path of the repository: org/repo
   * @param {string} token may be empty, if the server asks for none.
   */
  constructor(client, server, path, token) {
    const steps = path.split("/").filter(Boolean).map(encodeURIComponent);
    this.client = client;
    this.#url = `${server.replace(/\/+$/, "")}/${steps.join("/")}/objects/batch`;
    this.#token = token;
  }

  /** Ask what to do with one object; return its entry of the reply. */
  async batch(operation, object, signal) {
    const header = { Accept: MEDIA_TYPE, "Content-Type": MEDIA_TYPE };
    if (this.#token) header.Authorization = `Bearer ${this.#token}`;
    const request = { operation, transfers: ["multipart-basic", "basic"], objects: [object] };
    const action = { href: this.#url, method: "POST", header };
    const answer = await this.client.send(action, JSON.stringify(request), signal);
    const [entry] = JSON.parse(answer).objects;
    if (entry.error) throw new Error(entry.error.message);
    return entry;
  }

  /**
   * Return a link to an object, and for how many seconds it is good.
   *
   * A link cannot send headers; giftless takes a token in the URL as well.
   */
  async link(oid, size, name, signal) {
    const object = { oid, size, ...(name && { "x-filename": name }) };
    const { actions } = await this.batch("download", object, signal);
    const { href, header = {}, expires_in: seconds } = actions.download;
    const url = new URL(href);
    if (!/^https?:$/.test(url.protocol)) throw new Error(`This is no link to a file: ${href}`);
    const token = header["Giftless-Action"];
    if (token) url.searchParams.set("jwt", token);
    return { href: url.href, seconds };
  }
}

/**
 * One file on its way.
 *
 * All that is to be known for going on later is in the store: `run` may be
 * stopped and called again, by this page or after a reload.
 */
export class Upload {
  #repository;
  #file;
  #oid;
  #progress;
  #stored = 0; // bytes that the store has for sure
  #sending = new Map(); // bytes sent of each part that is on its way
  #abort;

  constructor(repository, file, oid) {
    this.#repository = repository;
    this.#file = file;
    this.#oid = oid;
  }

  /**
   * Send what the store lacks, until it has the whole object.
   *
   * @param {AbortSignal} signal stops it; its reason is what is thrown.
   * @param {(done: number) => void} progress is told how many bytes have arrived.
   */
  async run(signal, progress) {
    this.#progress = progress;
    const object = { oid: this.#oid, size: this.#file.size, "x-filename": this.#file.name };
    let least = Infinity;
    let refusal;
    for (let stale = 0; ; ) {
      const { actions } = await this.#repository.batch("upload", object, signal);
      const parts = actions ? partsOf(actions, this.#file.size) : [];
      const missing = parts.reduce((sum, part) => sum + part.size, 0);
      this.#stored = this.#file.size - missing;
      this.#report();
      if (!actions) return; // it is there, whole
      // The store had all of it, and has thrown it away: it is not what the oid says.
      if (refusal?.status === 409 && missing === this.#file.size) throw refusal;
      stale = missing < least ? 0 : stale + 1;
      least = Math.min(least, missing);
      this.#abort = actions.abort;
      try {
        return await this.#follow(actions, parts, signal);
      } catch (error) {
        if (signal.aborted || !OUTDATED.includes(error.status) || stale >= MAX_STALE) throw error;
        refusal = error;
        await sleep(stale, signal);
      }
    }
  }

  /** Let the store throw away what it has of the object. */
  async abandon(signal) {
    if (this.#abort) await this.#do(this.#abort, "", signal);
    this.#abort = undefined;
  }

  async #follow({ init, commit, verify }, parts, signal) {
    if (init) await this.#do(init, init.body ?? "", signal);
    await this.#sendAll(parts, signal);
    if (commit) await this.#do(commit, commit.body ?? "", signal);
    if (verify) {
      const header = { Accept: MEDIA_TYPE, "Content-Type": MEDIA_TYPE, ...verify.header };
      const claim = JSON.stringify({ oid: this.#oid, size: this.#file.size });
      await this.#do({ ...verify, header }, claim, signal);
    }
    this.#abort = undefined;
  }

  #do(action, body, signal) {
    return this.#repository.client.send({ method: "POST", ...action }, body, signal);
  }

  async #sendAll(parts, signal) {
    const failed = new AbortController();
    const either = AbortSignal.any([signal, failed.signal]);
    const queue = parts.values();
    const work = async () => {
      for (const part of queue) await this.#sendPart(part, either);
    };
    try {
      await Promise.all(Array.from({ length: PARALLEL }, work));
    } catch (error) {
      failed.abort(error);
      throw error;
    } finally {
      this.#sending.clear();
      this.#report();
    }
  }

  async #sendPart(part, signal) {
    const bytes = this.#file.slice(part.pos, part.pos + part.size);
    await this.#repository.client.send({ method: "PUT", ...part }, bytes, signal, (sent) => {
      if (signal.aborted) return;
      // With it go the headers, and they count for nothing.
      this.#sending.set(part.pos, Math.min(sent, part.size));
      this.#report();
    });
    this.#sending.delete(part.pos);
    this.#stored += part.size;
    this.#report();
  }

  #report() {
    let done = this.#stored;
    for (const sent of this.#sending.values()) done += sent;
    this.#progress(done);
  }
}

/** Return the parts to send; with "basic", the whole object is the only one. */
function partsOf({ parts, upload }, size) {
  if (!parts) return [{ ...upload, pos: 0, size }];
  return parts.map((part) => ({ ...part, pos: part.pos ?? 0, size: part.size ?? size - (part.pos ?? 0) }));
}
