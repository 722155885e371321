// The page's behaviour: whatever the form says becomes a query; the server answers with the parts of the page that change.
"use strict";

const $ = (selector) => document.querySelector(selector);
const PAUSE = 180; // milliseconds without a change before asking
let latest = 0; // number of the newest request; older answers are dropped
let timer = 0;
let drawn = ""; // the dataset whose classes and models the form offers

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
    try { localStorage.setItem("genhub-theme", root.dataset.theme); } catch { /* kept for this visit only */ }
    show();
  });
  button.removeAttribute("aria-pressed");
  show();
}

function queryOf(form) {
  const fields = new FormData(form);
  const models = fields.getAll("models");
  const query = new URLSearchParams();
  for (const name of ["dataset", "class", "seed", "n"]) if (fields.has(name)) query.set(name, fields.get(name));
  if (form.querySelector("[name=models]")) query.set("models", models.length ? models.join(",") : "none");
  return query.toString();
}

// Gradio's queue: join, then read the event's stream until it is complete.
async function call(name, ...data) {
  const joined = await fetch(`gradio_api/call/${name}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ data }),
  });
  if (joined.status === 503) throw new Error("Many visitors are here just now. Please try again in a moment.");
  if (!joined.ok) throw new Error("The server did not take the request. Please try again.");
  const { event_id: id } = await joined.json();
  const text = await (await fetch(`gradio_api/call/${name}/${id}`)).text();
  const events = text.trim().split("\n\n").map((block) => {
    const field = (key) => (block.split("\n").find((line) => line.startsWith(`${key}: `)) || "").slice(key.length + 2);
    return { kind: field("event"), data: field("data") };
  });
  const done = events.find((event) => event.kind === "complete");
  if (done) return JSON.parse(done.data)[0];
  const failed = events.find((event) => event.kind === "error");
  const detail = failed && failed.data && JSON.parse(failed.data);
  throw new Error((detail && detail.error) || "The server could not answer. Please try again.");
}

function showProblem(message) {
  const box = $("#problem");
  box.hidden = !message;
  box.textContent = message || "";
  if (!message) return;
  const retry = document.createElement("button");
  retry.type = "button";
  retry.textContent = "Try again";
  retry.addEventListener("click", () => update());
  box.append(" ", retry);
}

function showLink(query) {
  const kept = new URLSearchParams(location.search).get("__theme");
  const full = kept ? `${query}&__theme=${encodeURIComponent(kept)}` : query;
  history.replaceState(null, "", `?${full}${location.hash}`);
  // Inside a Space the address bar belongs to the page around this one; this is how it is told.
  if (window.parent !== window) window.parent.postMessage({ queryString: query, hash: "" }, "https://huggingface.co");
  $("#download").href = `download?${query}`;
}

async function update(query = queryOf($("#controls")), address = true) {
  const form = $("#controls");
  const mine = ++latest;
  clearTimeout(timer);
  const dataset = new FormData(form).get("dataset");
  $("#content").setAttribute("aria-busy", "true");
  try {
    const answer = await call("view", query);
    if (mine !== latest) return;
    $("#galleries").innerHTML = answer.galleries;
    $("#reproduce").innerHTML = answer.reproduce;
    $("#status").textContent = answer.status;
    if (drawn !== dataset) {
      $("#choices").innerHTML = answer.choices;
      drawn = dataset;
      reveal();
    }
    if (document.activeElement !== $("#seed")) $("#seed").value = answer.seed;
    showNumber(answer.n);
    if (address) showLink(answer.query);
    showProblem("");
  } catch (error) {
    if (mine !== latest) return;
    showProblem(error instanceof TypeError ? "The server cannot be reached." : error.message);
  } finally {
    if (mine === latest) $("#content").setAttribute("aria-busy", "false");
  }
}

// On a narrow screen classes and models scroll inside their row: bring the chosen one into sight.
function reveal() {
  for (const row of document.querySelectorAll(".chips")) {
    const chosen = row.querySelector("[type=radio]:checked");
    if (chosen) row.scrollLeft = chosen.parentElement.offsetLeft - row.offsetLeft - row.clientWidth / 2;
  }
}

function later() {
  clearTimeout(timer);
  $("#content").setAttribute("aria-busy", "true");
  timer = setTimeout(() => update(), PAUSE);
}

function showNumber(n) {
  $("#n").value = n;
  $("#n-shown").textContent = n;
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

// The same position in every gallery is the same seed (and class): point at one, see all.
function twins(event) {
  const item = event.target.closest("[data-i]");
  document.querySelectorAll(".twin").forEach((other) => other.classList.remove("twin"));
  if (item) document.querySelectorAll(`[data-i="${item.dataset.i}"]`).forEach((other) => other.classList.add("twin"));
}

function start() {
  themed();
  reveal();
  const form = $("#controls");
  if (!form) return;
  drawn = new FormData(form).get("dataset");
  form.addEventListener("submit", (event) => { event.preventDefault(); update(); });
  form.addEventListener("input", (event) => {
    if (event.target.id === "n") showNumber(event.target.value);
    if (event.target.name === "dataset") { // classes and models of another dataset mean nothing here
      form.querySelectorAll("[name=class], [name=models]").forEach((input) => { input.name = `${input.name}-gone`; });
      drawn = "";
    }
    later();
  });
  $("#dice").addEventListener("click", () => {
    $("#seed").value = crypto.getRandomValues(new Uint32Array(1))[0] % 10000;
    update();
  });
  document.addEventListener("click", (event) => {
    if (event.target.id === "copy-link") copy(event.target, location.href);
    if (event.target.id === "copy-code") copy(event.target, $("#code").textContent);
  });
  $("#galleries").addEventListener("mouseover", twins);
  $("#galleries").addEventListener("mouseleave", twins);
  // The link as it came, so that the server's remarks on it stay; a plain address stays plain until something changes.
  const arrived = location.search.slice(1);
  if (arrived) showLink($("#download").search.slice(1));
  if (form.matches("[data-stale=true]")) update(arrived, arrived !== "");
}

start();
