// Latent space: the form becomes a query, the server answers with the images; the strip plays, the map moves.
"use strict";

const PAUSE = 160; // milliseconds without a change before asking
const FRAME = 110; // milliseconds for one image of the strip
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const LOST = { dataset: ["model", "fromclass", "toclass", "class", "minus", "plus"], do: ["model"] }; // with a choice
const form = $("#controls");
const results = newest($("#content"));
let playing = 0;
let forward = 1;
let waiting = false; // whether the map will be asked for again
let asking = Promise.resolve(); // the map is asked for once at a time: a held key must not fill the queue

function queryOf() {
  return new URLSearchParams(new FormData(form)).toString();
}

function update(query = queryOf(), address = true) {
  return results.ask(async (counts) => {
    const answer = await call("latent", [query]);
    if (!counts()) return;
    stop();
    const onMap = document.activeElement?.id === "map";
    const onPad = document.activeElement?.closest?.(".pad") && document.activeElement.getAttribute("aria-label");
    $("#result").innerHTML = answer.result;
    $("#status").textContent = answer.status;
    if (form.getAttribute("data-key") !== answer.key) redraw(answer);
    if (onMap) $("#map")?.focus();
    if (onPad) document.querySelector(`.pad [aria-label="${onPad}"]`)?.focus();
    if (address) showAddress(answer.query);
    begin();
  }, () => update());
}

// Another task, dataset or model has other fields; the one in use keeps the focus.
function redraw(answer) {
  const used = document.activeElement;
  const same = used && form.contains(used) && used.name && `[name="${used.name}"]${used.type === "radio" ? `[value="${used.value}"]` : ""}`;
  form.innerHTML = answer.form;
  form.setAttribute("data-key", answer.key);
  if (same) form.querySelector(same)?.focus();
  reveal();
}

function move(dx, dy) {
  const gap = Number($("#gap").value);
  const limit = Number($("#map").dataset.limit);
  for (const [name, step] of [["#x", dx], ["#y", dy]]) {
    const value = Math.round(100 * (Number($(name).value) + step * gap)) / 100;
    $(name).value = Math.min(Math.max(value, -limit), limit);
  }
  if (waiting) return;
  waiting = true;
  asking = asking.then(() => { waiting = false; return update(); });
}

// What belongs to another dataset or task means nothing to the one that is chosen now.
function forget(chosen) {
  for (const name of LOST[chosen] || []) {
    form.querySelectorAll(`[name=${name}]`).forEach((input) => { input.name = `${name}-gone`; });
    form.setAttribute("data-key", ""); // to be drawn anew, even if the choice is taken back
  }
}

function frames() {
  return [...document.querySelectorAll("#frames img")];
}

function show(step) {
  const images = frames();
  if (!images[step]) return;
  $("#player").src = images[step].src;
  $("#player").alt = `Enlarged: ${images[step].alt}`;
  $("#position").value = step + 1;
  $("#position-shown").textContent = step + 1;
  images.forEach((image, i) => image.parentElement.classList.toggle("now", i === step));
}

function stop() {
  clearInterval(playing);
  playing = 0;
  const button = $("#play");
  if (button) button.textContent = "Play";
  button?.setAttribute("aria-pressed", "false");
}

function play() {
  if (playing) return stop();
  $("#play").textContent = "Pause";
  $("#play").setAttribute("aria-pressed", "true");
  playing = setInterval(() => {
    const last = frames().length - 1;
    const now = Number($("#position").value) - 1;
    if (now + forward < 0 || now + forward > last) forward = -forward;
    show(now + forward);
  }, FRAME);
}

function begin() {
  if ($("#position")) show(0);
}

form.addEventListener("submit", (event) => { event.preventDefault(); update(); });
form.addEventListener("input", (event) => {
  const shown = form.querySelector(`output[for="${event.target.id}"]`);
  if (shown) shown.textContent = event.target.value;
  forget(event.target.name);
  results.later(update, PAUSE);
});
form.addEventListener("click", (event) => {
  const dice = event.target.closest(".dice");
  if (!dice) return;
  document.getElementById(dice.dataset.for).value = crypto.getRandomValues(new Uint32Array(1))[0] % 10000;
  update();
});
$("#result").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const frame = event.target.closest("#frames li");
  if (button?.id === "play") play();
  if (button?.dataset.dx) move(Number(button.dataset.dx), Number(button.dataset.dy));
  if (button && "home" in button.dataset) { $("#x").value = 0; $("#y").value = 0; update(); }
  if (frame) { stop(); show([...frame.parentElement.children].indexOf(frame)); }
});
$("#result").addEventListener("input", (event) => {
  if (event.target.id === "position") { stop(); show(Number(event.target.value) - 1); }
});
$("#result").addEventListener("keydown", (event) => {
  if (event.target.id !== "map" || !(event.key in KEYS)) return;
  event.preventDefault();
  move(...KEYS[event.key]);
});
if ($("#content").matches("[data-found]")) begin();
else update(location.search.slice(1), location.search !== "");
