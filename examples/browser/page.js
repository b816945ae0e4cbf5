// The page itself: fields, buttons and bars around hash.js and upload.js.

import { Client, Refusal, Unreachable } from "./client.js";
import { hashFile } from "./hash.js";
import * as memory from "./memory.js";
import { Repository, Upload } from "./upload.js";

const $ = (id) => document.getElementById(id);

/** Why something was stopped that ran. */
const PAUSED = new Error("paused");
const CANCELLED = new Error("cancelled");

const client = new Client(
  (error, seconds) => ($("detail").textContent = `${error.message}; next try in ${Math.ceil(seconds)} s`),
);

/** Stops what runs; its signal is aborted while nothing does. */
let running = new AbortController();

/** What was started last, for going on after a pause: {file, oid, upload}. */
let current = {};

// --- what is seen ---------------------------------------------------------------

/** Show the buttons of a state: idle, hashing, sending or paused. */
function enter(state) {
  const buttons = $("start").parentElement;
  const focused = buttons.contains(document.activeElement);
  $("fields").disabled = state !== "idle";
  $("start").hidden = state !== "idle";
  $("pause").hidden = state !== "sending";
  $("resume").hidden = state !== "paused";
  $("cancel").hidden = state === "idle";
  // Who uses the keyboard must not be sent back to the top of the page.
  if (focused) buttons.querySelector(":not([hidden])").focus({ preventScroll: true });
}

/** Show a part of the page, and see to it that it is seen. */
function reveal(part) {
  $(part).hidden = false;
  $(part).scrollIntoView({ block: "nearest" });
}

function say(phase, detail = "") {
  reveal("work");
  $("phase").textContent = phase;
  $("detail").textContent = detail;
}

function fill(bar, done, size) {
  const part = size ? done / size : 1;
  $(bar).value = part;
  $(`${bar}-text`).textContent = `${Math.floor(part * 100)} %`;
}

function readable(bytes) {
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1);
  return `${(bytes / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

function duration(seconds) {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** Return what tells how many bytes are sent, how fast, and how long it takes. */
function speedometer(size) {
  let start;
  let first;
  return (done) => {
    start ??= performance.now();
    first ??= done;
    fill("sending", done, size);
    const seconds = (performance.now() - start) / 1000;
    const rate = (done - first) / seconds;
    let more = "";
    if (done === size) more = " · waiting for the server to check it";
    else if (seconds > 1 && rate > 0) {
      more = ` · ${readable(rate)}/s · ${duration((size - done) / rate)} left`;
    }
    $("detail").textContent = `${readable(done)} of ${readable(size)}${more}`;
  };
}

function showProblem(error) {
  const [title, hint] = explain(error);
  $("problem-title").textContent = title;
  const said = error instanceof Refusal ? "The server says: " : "";
  $("problem-text").textContent = said + error.message;
  $("problem-hint").textContent = hint;
  reveal("problem");
}

/** Return what went wrong and what to do about it. */
function explain(error) {
  if (error instanceof Unreachable) {
    const here = new URL($("server").value).origin === error.origin;
    return [
      "No answer",
      here
        ? `It is down, or it does not let pages of ${location.origin} in: that origin must be in its cors.origins.`
        : `The storage is down, or its bucket has no CORS rule for ${location.origin}.`,
    ];
  }
  if (error instanceof Refusal && error.status === 401) {
    const path = $("repository").value;
    return [
      $("token").value ? "The server does not accept this token" : "The server wants a token",
      `Whoever runs the server can make one: giftless token --scope "obj:${path}/*:read,write"`,
    ];
  }
  if (error instanceof Refusal && error.status === 403) {
    return ["This token does not allow that", "It must have a scope for this repository."];
  }
  if (error instanceof Refusal && error.status === 404) {
    return ["Not found", "Check the server's address and the repository."];
  }
  return ["That did not work", ""];
}

/** Show which file is picked, and which one should be picked again. */
function showFile() {
  const [picked] = $("file").files;
  const known = picked && memory.oidOf(picked);
  const unfinished = memory.unfinished();
  $("unfinished").hidden = !unfinished || known;
  $("unfinished-name").textContent = unfinished?.name ?? "";
  $("unfinished-size").textContent = readable(unfinished?.size ?? 0);
  $("unfinished-repository").textContent = unfinished?.repository ?? "";
  $("file-name").textContent = picked?.name ?? "Choose a file, or drop it here";
  $("file-hint").textContent = picked ? readable(picked.size) : "Of any size";
  $("start").textContent = known ? "Resume upload" : "Upload";
}

// --- what is done -----------------------------------------------------------------

function repository() {
  const fields = { server: $("server").value, repository: $("repository").value };
  memory.keepFields({ ...fields, token: $("token").value });
  return new Repository(client, fields.server, fields.repository, $("token").value.trim());
}

async function start() {
  const [file] = $("file").files;
  const target = repository();
  current = { file };
  $("result").hidden = true;
  $("link").hidden = true;
  await attempt(async (signal) => {
    fill("sending", 0, file.size || 1);
    const oid = memory.oidOf(file) ?? (await hash(file, signal));
    fill("hashing", file.size, file.size);
    memory.begin(file, oid);
    current = { file, oid, upload: new Upload(target, file, oid) };
    await send(signal);
  });
}

async function hash(file, signal) {
  enter("hashing");
  say("Reading the file");
  fill("hashing", 0, file.size || 1);
  return hashFile(file, (done) => fill("hashing", done, file.size), signal);
}

async function send(signal) {
  const { file, oid, upload } = current;
  const start = performance.now();
  enter("sending");
  say("Sending");
  await upload.run(signal, speedometer(file.size));
  fill("sending", file.size, file.size);
  memory.end();
  say("Done", `${readable(file.size)} in ${duration((performance.now() - start) / 1000)}`);
  enter("idle");
  $("oid").textContent = $("wanted-oid").value = oid;
  $("size").textContent = $("wanted-size").value = file.size;
  reveal("result");
  showFile();
}

/** Do something that may be paused, be cancelled or fail. */
async function attempt(action) {
  running = new AbortController();
  $("problem").hidden = true;
  $("unfinished").hidden = true;
  try {
    await action(running.signal);
  } catch (error) {
    if (error === PAUSED) {
      enter("paused");
      say("Paused", "Nothing is lost: what has arrived stays at the server.");
    } else if (error !== CANCELLED) {
      // An object that is refused for what it is would be refused again.
      if (error instanceof Refusal && [400, 409, 413, 422].includes(error.status)) memory.end();
      enter("idle");
      $("work").hidden = true;
      showProblem(error);
      showFile();
    }
  }
}

async function cancel() {
  running.abort(CANCELLED);
  memory.end();
  const { upload } = current;
  current = {};
  enter("idle");
  say("Cancelled");
  showFile();
  try {
    await upload?.abandon(new AbortController().signal);
  } catch (error) {
    showProblem(error);
  }
}

async function makeLink() {
  const [oid, size] = [$("wanted-oid").value, Number($("wanted-size").value)];
  const name = current.oid === oid ? current.file.name : "";
  $("problem").hidden = true;
  $("link").hidden = true;
  try {
    const { href, seconds } = await repository().link(oid, size, name, new AbortController().signal);
    $("link").href = href;
    $("link").textContent = `Download ${name || "the object"}`;
    $("link").title = seconds ? `This link is good for ${duration(seconds)}.` : "";
    $("link").hidden = false;
  } catch (error) {
    showProblem(error);
  }
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  start();
});
$("download").addEventListener("submit", (event) => {
  event.preventDefault();
  if ($("server").reportValidity() && $("repository").reportValidity()) makeLink();
});
$("pause").addEventListener("click", () => running.abort(PAUSED));
$("resume").addEventListener("click", () => attempt(send));
$("cancel").addEventListener("click", cancel);
$("forget").addEventListener("click", () => {
  memory.end();
  showFile();
});
$("file").addEventListener("change", showFile);

const { server = "", repository: path = "", token } = { ...memory.fields(), ...memory.unfinished() };
$("server").value = server;
$("repository").value = path;
$("token").value = token;
showFile();
enter("idle");
