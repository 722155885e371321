// Compare: whatever the form says becomes a query; the server answers with the parts of the page that change.
"use strict";

const PAUSE = 180; // milliseconds without a change before asking
const SLOW_PAUSE = 900; // and before asking slow models too
const ARROWS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -5, ArrowDown: 5 };
const views = newest($("#content"));
let looked = 0; // number of the newest closer look
let drawn = ""; // the dataset whose classes and models the form offers
let slowWork = Promise.resolve(); // slow models are asked once at a time

function queryOf(form) {
  const fields = new FormData(form);
  const models = fields.getAll("models");
  const query = new URLSearchParams();
  for (const name of ["dataset", "class", "seed", "n"]) if (fields.has(name)) query.set(name, fields.get(name));
  if (Number(fields.get("truncation")) !== 1) query.set("truncation", fields.get("truncation"));
  if (form.querySelector("[name=models]")) query.set("models", models.length ? models.join(",") : "none");
  return query.toString();
}

function showLink(query) {
  showAddress(query);
  $("#download").href = `download?${query}`;
}

function update(query = queryOf($("#controls")), address = true) {
  const dataset = new FormData($("#controls")).get("dataset");
  const show = (part, counts) => {
    if (part.card) return showCard(part);
    if (!part.galleries) return; // the end
    $("#galleries").innerHTML = part.galleries;
    $("#reproduce").innerHTML = part.reproduce;
    $("#summary").textContent = part.status;
    if (drawn !== dataset) {
      $("#choices").innerHTML = part.choices;
      drawn = dataset;
      reveal();
    }
    if (document.activeElement !== $("#seed")) $("#seed").value = part.seed;
    showNumbers(part.n, part.truncation);
    if (address) showLink(part.query);
    oneStop();
    countCards();
    askSlow(counts, part.query);
  };
  return views.ask((counts) => call("view", [query], (part) => counts() && show(part, counts)), () => update());
}

function showCard({ model, card }) {
  const old = document.getElementById(`card-${model}`);
  if (!old) return;
  const focused = old.contains(document.activeElement);
  old.outerHTML = card;
  oneStop();
  countCards();
  if (focused) document.getElementById(`card-${model}`).querySelector("a")?.focus();
}

function countCards() {
  const [all, here] = [".card", ".card[data-ready]"].map((cards) => document.querySelectorAll(cards).length);
  $("#arrived").textContent = here < all ? `${here} of ${all} models are here.` : "";
}

// Models that take seconds do not hold up the others: they are asked when the visitor has settled, one request at a time.
function askSlow(counts, query) {
  const waiting = () => counts() && $("[data-slow]:not([data-ready])");
  if (!waiting()) return;
  const pause = () => new Promise((done) => { setTimeout(done, SLOW_PAUSE); });
  slowWork = slowWork.then(() => waiting() && pause()).then(async () => {
    if (!waiting()) return;
    try {
      await ask("slow", [query], (part) => { if (counts() && part.card) showCard(part); });
    } catch (error) {
      if (counts()) showProblem(error, () => update());
    }
  });
}

function showNumbers(n, truncation) {
  $("#n").value = n;
  $("#n-shown").textContent = n;
  $("#truncation").value = truncation;
  $("#truncation-shown").textContent = Number(truncation).toFixed(2);
}

// Each gallery is one stop of the Tab key; the arrows move inside it.
function oneStop() {
  for (const list of document.querySelectorAll("ul.pixels")) {
    list.querySelectorAll("a").forEach((link, i) => { link.tabIndex = i ? -1 : 0; });
  }
}

function walk(event) {
  const link = event.target.closest("ul.pixels a");
  if (!link || !(event.key in ARROWS)) return;
  event.preventDefault();
  const list = link.closest("ul");
  const links = [...list.querySelectorAll("a")];
  const columns = getComputedStyle(list).gridTemplateColumns.split(" ").length;
  const step = Math.abs(ARROWS[event.key]) === 1 ? ARROWS[event.key] : Math.sign(ARROWS[event.key]) * columns;
  const next = links[links.indexOf(link) + step];
  if (!next) return;
  link.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

// The same position in every gallery is the same seed (and class): point at one, see all.
function twins(event) {
  const item = event.target.closest("[data-i]");
  document.querySelectorAll(".twin").forEach((other) => other.classList.remove("twin"));
  if (item) document.querySelectorAll(`[data-i="${item.dataset.i}"]`).forEach((other) => other.classList.add("twin"));
}

// A link that ticks several models at once.
function choose(event) {
  const link = event.target.closest("[data-models]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const names = link.dataset.models.split(",");
  $("#controls").querySelectorAll("[name=models]").forEach((input) => { input.checked = names.includes(input.value); });
  update();
}

async function lookCloser(event) {
  const link = event.target.closest("ul.pixels a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const mine = ++looked;
  const body = $("#look-body");
  body.textContent = "Looking …";
  $("#look").showModal();
  try {
    const found = await call("closer", [link.search.slice(1)]);
    if (mine === looked) body.innerHTML = found;
  } catch (error) {
    if (mine === looked) body.textContent = error instanceof TypeError ? "The server cannot be reached." : error.message;
  }
}

async function findNearest(event) {
  const link = event.target.closest("#find-nearest");
  if (!link) return;
  event.preventDefault();
  const box = $("#nearest");
  box.textContent = "Looking through all training images …";
  box.focus(); // the link that had it is gone
  try {
    box.innerHTML = await ask("nearest", [link.search.slice(1)]);
  } catch (error) {
    box.textContent = error instanceof TypeError ? "The server cannot be reached." : error.message;
  }
}

function start() {
  const form = $("#controls");
  if (!form) return;
  drawn = new FormData(form).get("dataset");
  form.addEventListener("submit", (event) => { event.preventDefault(); update(); });
  form.addEventListener("input", (event) => {
    showNumbers($("#n").value, $("#truncation").value);
    if (event.target.name === "dataset") { // classes and models of another dataset mean nothing here
      form.querySelectorAll("[name=class], [name=models]").forEach((input) => { input.name = `${input.name}-gone`; });
      drawn = "";
    }
    views.later(update, PAUSE);
  });
  $("#choices").addEventListener("click", choose);
  $("#dice").addEventListener("click", () => {
    $("#seed").value = crypto.getRandomValues(new Uint32Array(1))[0] % 10000;
    update();
  });
  $("#galleries").addEventListener("mouseover", twins);
  $("#galleries").addEventListener("focusin", twins);
  $("#galleries").addEventListener("mouseleave", twins);
  $("#galleries").addEventListener("keydown", walk);
  $("#galleries").addEventListener("click", lookCloser);
  $("#look").addEventListener("click", findNearest);
  $("#look").addEventListener("click", (event) => { if (event.target === $("#look")) $("#look").close(); });
  oneStop();
  countCards();
  // The link as it came, so that the server's remarks on it stay; a plain address stays plain until something changes.
  const arrived = location.search.slice(1);
  if (arrived) showLink($("#download").search.slice(1));
  if (form.matches("[data-stale=true]")) update(arrived, arrived !== "");
}

start();
