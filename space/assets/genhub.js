// What all pages share: the theme, Gradio's queue, copying. A page's own script is loaded after this one.
"use strict";

const $ = (selector) => document.querySelector(selector);

function themed() {
  const button = $("#theme");
  const show = () => {
    const dark = document.documentElement.dataset.theme === "dark";
    button.textContent = dark ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to the ${dark ? "light" : "dark"} theme`);
  };
  button.addEventListener("click", () => {
    const root = document.documentElement;
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    try {
      sessionStorage.setItem("genhub-theme", root.dataset.theme);
      localStorage.setItem("genhub-theme", root.dataset.theme);
    } catch { /* for this page only */ }
    show();
  });
  button.removeAttribute("aria-pressed");
  show();
}

// What a visitor reads when an answer is late, however many are.
const LATE = 4000; // milliseconds
let late = 0;

function sayLate(change) {
  late += change;
  if (!late) return $("#late")?.remove();
  if ($("#late")) return undefined;
  const line = document.createElement("p");
  line.id = "late";
  line.setAttribute("role", "status");
  line.textContent = "Still working on it: a model may be waking up, or other visitors come first.";
  return document.body.append(line);
}

async function call(name, data, each) {
  let said = 0;
  const timer = setTimeout(() => sayLate(said = 1), LATE);
  try {
    return await ask(name, data, each);
  } finally {
    clearTimeout(timer);
    sayLate(-said);
  }
}

// Gradio's queue: join, then read the event's stream. Each thing the server yields goes to `each`; the last is returned.
async function ask(name, data, each = () => {}) {
  const joined = await fetch(`gradio_api/call/${name}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ data }),
  });
  if (joined.status === 503) throw new Error("Many visitors are here just now. Please try again in a moment.");
  if (!joined.ok) throw new Error("The server did not take the request. Please try again.");
  const { event_id: id } = await joined.json();
  const reader = (await fetch(`gradio_api/call/${name}/${id}`)).body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let last;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const field = (key) => (block.split("\n").find((line) => line.startsWith(`${key}: `)) || "").slice(key.length + 2);
      const [kind, payload] = [field("event"), field("data")];
      if (kind === "error") {
        const detail = payload && JSON.parse(payload);
        throw new Error((detail && detail.error) || "The server could not answer. Please try again.");
      }
      if (kind === "generating") each(JSON.parse(payload)[0]);
      if (kind === "complete") last = JSON.parse(payload)[0];
    }
  }
  if (last === undefined) throw new Error("The server could not answer. Please try again.");
  return last;
}

// The questions about one part of a page, of which only the newest counts: what older ones bring is dropped.
function newest(box) {
  let latest = 0;
  let timer = 0;
  const next = () => {
    clearTimeout(timer);
    box.setAttribute("aria-busy", "true");
    return ++latest;
  };
  return {
    // After a pause without another change. What is on its way meanwhile answers a form that says something else by now.
    later(ask, pause) {
      next();
      timer = setTimeout(ask, pause);
    },
    // Now: `work` can look whether it still counts, `again` is what a visitor may try.
    async ask(work, again) {
      const mine = next();
      const counts = () => mine === latest;
      try {
        await work(counts);
        if (counts()) showProblem("");
      } catch (error) {
        if (counts()) showProblem(error, again);
      } finally {
        if (counts()) box.setAttribute("aria-busy", "false");
      }
    },
  };
}

// An error as a visitor reads it, with a way to try again; "" hides it. Expects <div id="problem" role="alert" hidden>.
function showProblem(problem, again) {
  const gone = problem instanceof TypeError; // what fetch throws without a connection
  const message = gone ? "The server cannot be reached." : problem && (problem.message || problem);
  const box = $("#problem");
  box.hidden = !message;
  box.textContent = message || "";
  if (!message) return;
  const retry = document.createElement("button");
  retry.type = "button";
  retry.textContent = "Try again";
  retry.addEventListener("click", () => {
    $("#content").focus({ preventScroll: true }); // this button goes away
    again();
  });
  box.append(" ", retry);
}

// The address of what is shown, without a new entry in the history.
function showAddress(query, hash = location.hash) {
  history.replaceState(null, "", `?${query}${hash}`);
  // Inside a Space the address bar belongs to the page around this one; this is how it is told.
  if (window.parent !== window) window.parent.postMessage({ queryString: query, hash: "" }, "https://huggingface.co");
}

async function copy(button, text) {
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Press Ctrl+C";
    const area = document.createElement("textarea");
    area.value = text;
    button.after(area);
    area.select();
    area.addEventListener("blur", () => area.remove());
  }
  setTimeout(() => { button.textContent = said; }, 1600);
}

// On a narrow screen a row of choices scrolls inside itself: bring the chosen one into sight.
function reveal() {
  for (const row of document.querySelectorAll(".chips, .tabs ul")) {
    const chosen = row.querySelector("[type=radio]:checked, [aria-current]");
    if (chosen) row.scrollLeft = chosen.parentElement.offsetLeft - row.offsetLeft - row.clientWidth / 2;
  }
}

themed();
reveal();
document.addEventListener("click", (event) => {
  if (event.target.id === "copy-link") copy(event.target, location.href);
  if (event.target.id === "copy-code") copy(event.target, $("#code").textContent);
});
