// Fetch the dashboard again every few seconds, and exchange what has changed.  Without
// this file the page reloads itself (see its <noscript>).
"use strict";

const INTERVAL = 5000;
const PATIENCE = 15000;

// Without a user and a password, which a URL may have and fetch refuses.
const HERE = location.origin + location.pathname;

const updated = document.getElementById("updated");
const pause = document.getElementById("pause");
let paused = false;

// What can have the focus in a section.
const reachable = (section) => [...section.querySelectorAll("a, summary, [tabindex]")];

// Exchange the sections that differ; the reader stays where they are.
function show(page) {
  for (const section of page.querySelectorAll("main > section")) {
    const old = document.getElementById(section.id);
    if (old === null || old.innerHTML === section.innerHTML) continue;
    for (const details of section.querySelectorAll("details")) {
      details.open = document.getElementById(details.id)?.open ?? false;
    }
    const focused = reachable(old).indexOf(document.activeElement);
    const scrolled = [...old.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    old.replaceChildren(...section.childNodes);
    old.querySelectorAll(".scroll").forEach((box, n) => { box.scrollLeft = scrolled[n] ?? 0; });
    if (focused >= 0) reachable(old)[focused]?.focus({ preventScroll: true });
  }
}

async function refresh() {
  if (!paused && !document.hidden) {
    try {
      const signal = AbortSignal.timeout(PATIENCE);
      const reply = await fetch(HERE, { signal, cache: "no-store" });
      if (!reply.ok) throw new Error(`the server answers ${reply.status}`);
      const page = new DOMParser().parseFromString(await reply.text(), "text/html");
      show(page);
      updated.textContent = page.getElementById("updated").textContent;
      updated.classList.remove("bad");
    } catch {
      if (!updated.classList.contains("bad")) {
        updated.classList.add("bad");
        updated.textContent += ", and not refreshed since";
      }
    }
  }
  setTimeout(refresh, INTERVAL);
}

pause.hidden = false;
pause.addEventListener("click", () => {
  paused = !paused;
  pause.textContent = paused ? "Resume" : "Pause";
});
setTimeout(refresh, INTERVAL);
