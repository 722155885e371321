// Compare: whatever the form says becomes a query; the server answers with the parts of the page that change.
"use strict";

const PAUSE = 180; // milliseconds without a change before asking
let latest = 0; // number of the newest request; older answers are dropped
let timer = 0;
let drawn = ""; // the dataset whose classes and models the form offers

function queryOf(form) {
  const fields = new FormData(form);
  const models = fields.getAll("models");
  const query = new URLSearchParams();
  for (const name of ["dataset", "class", "seed", "n"]) if (fields.has(name)) query.set(name, fields.get(name));
  if (form.querySelector("[name=models]")) query.set("models", models.length ? models.join(",") : "none");
  return query.toString();
}

function showLink(query) {
  showAddress(query);
  $("#download").href = `download?${query}`;
}

async function update(query = queryOf($("#controls")), address = true) {
  const form = $("#controls");
  const mine = ++latest;
  clearTimeout(timer);
  const dataset = new FormData(form).get("dataset");
  $("#content").setAttribute("aria-busy", "true");
  try {
    const answer = await call("view", [query]);
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
    showProblem(error, () => update());
  } finally {
    if (mine === latest) $("#content").setAttribute("aria-busy", "false");
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

// The same position in every gallery is the same seed (and class): point at one, see all.
function twins(event) {
  const item = event.target.closest("[data-i]");
  document.querySelectorAll(".twin").forEach((other) => other.classList.remove("twin"));
  if (item) document.querySelectorAll(`[data-i="${item.dataset.i}"]`).forEach((other) => other.classList.add("twin"));
}

function start() {
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
  $("#galleries").addEventListener("mouseover", twins);
  $("#galleries").addEventListener("mouseleave", twins);
  // The link as it came, so that the server's remarks on it stay; a plain address stays plain until something changes.
  const arrived = location.search.slice(1);
  if (arrived) showLink($("#download").search.slice(1));
  if (form.matches("[data-stale=true]")) update(arrived, arrived !== "");
}

start();
