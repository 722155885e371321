// Reconstruct: a drawing, an upload or a sample goes to the server, which answers with what each model keeps of it.
"use strict";

const PAUSE = 250; // milliseconds after a stroke
const SIDE = 512; // pixels that an upload has at most
const form = $("#controls");
const pictures = newest($("#content"));
let shown = null; // the drawing or upload in use as data URI, null for a sample
let label = ""; // class of the newest sample
let drawn = false; // whether there is something on the pad
let codes = {}; // model → {code, label} of what is shown
const turning = new WeakMap(); // card → number of the newest change of its code
const turnTimers = new WeakMap();
let point = null; // where the pen is, while it is down

function query() {
  const fields = new FormData(form);
  if (fields.get("dataset") !== form.getAttribute("data-key")) fields.delete("class"); // it is one of another dataset
  else if (!fields.has("class")) fields.set("class", label);
  return new URLSearchParams(["dataset", "class", "seed"].filter((name) => fields.has(name)).map((name) => [name, fields.get(name)])).toString();
}

function update({ picture = null, text = query(), address = true } = {}) {
  shown = picture;
  if (!picture) {
    clearPad();
    $("#file").value = "";
  }
  return pictures.ask(async (counts) => {
    const answer = await call("rebuild", [text, picture]);
    if (!counts()) return;
    codes = answer.codes;
    $("#result").innerHTML = answer.result;
    $("#status").textContent = answer.status;
    if (form.getAttribute("data-key") !== answer.key) redraw(answer);
    label = $("#class").value || label;
    $("#class").value = picture ? "" : label; // beside a picture none is shown, each can be chosen
    if (address) showAddress(answer.query);
  }, () => update({ picture, text, address }));
}

// Another dataset has other classes and colours; what was drawn or uploaded stays.
function redraw(answer) {
  const [pad, painted] = [$("#pad"), drawn];
  const { files } = $("#file");
  form.innerHTML = answer.form;
  form.setAttribute("data-key", answer.key);
  form.querySelector("[name=dataset]:checked")?.focus();
  prepare();
  $("#file").files = files;
  if (painted) $("#pad").getContext("2d").drawImage(pad, 0, 0);
  drawn = painted;
}

function prepare() {
  form.querySelectorAll(".needs-script").forEach((part) => { part.hidden = false; });
  clearPad();
  const pad = $("#pad");
  pad.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    $("#file").value = "";
    pad.setPointerCapture(event.pointerId);
    point = where(event);
    stroke([point[0] + 0.1, point[1]]); // a line of no length would not be drawn
  });
  pad.addEventListener("pointermove", (event) => {
    if (!point) return;
    const moves = event.getCoalescedEvents?.() || [];
    for (const move of moves.length ? moves : [event]) stroke(where(move));
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    pad.addEventListener(kind, () => {
      if (!point) return;
      point = null;
      shown = pad.toDataURL("image/png");
      pictures.later(() => update({ picture: shown }), PAUSE);
    });
  }
  $("#clear").addEventListener("click", () => update());
  $("#another").addEventListener("click", () => {
    $("#sample-seed").value = crypto.getRandomValues(new Uint32Array(1))[0] % 10000;
    update();
  });
  $("#file").addEventListener("change", upload);
}

function clearPad() {
  const paint = $("#pad").getContext("2d");
  paint.fillStyle = $("#ink") ? "#8fb4d6" : "#000";
  paint.fillRect(0, 0, 280, 280);
  drawn = false;
}

function where(event) {
  const box = $("#pad").getBoundingClientRect();
  return [(event.clientX - box.left) * 280 / box.width, (event.clientY - box.top) * 280 / box.height];
}

function stroke(to) {
  const paint = $("#pad").getContext("2d");
  paint.strokeStyle = $("#ink") ? $("#ink").value : "#fff";
  paint.lineWidth = Number($("#pen").value);
  paint.lineCap = "round";
  paint.lineJoin = "round";
  paint.beginPath();
  paint.moveTo(...point);
  paint.lineTo(...to);
  paint.stroke();
  drawn = true;
  point = to;
}

async function upload(event) {
  const file = event.target.files[0];
  if (!file) return;
  try {
    const picture = await shrink(file);
    if ($("#file").files[0] !== file) return; // something else was asked for meanwhile
    clearPad();
    update({ picture });
  } catch {
    event.target.value = "";
    showProblem("This is no picture that can be read here.", () => showProblem(""));
  }
}

// A picture file as data URI, upright, of no more pixels than will be looked at: photos come in megabytes.
async function shrink(file) {
  const image = await createImageBitmap(file, { imageOrientation: "from-image" });
  const scale = Math.min(1, SIDE / Math.max(image.width, image.height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height].map((side) => Math.max(1, Math.round(scale * side)));
  const paint = canvas.getContext("2d");
  paint.imageSmoothingQuality = "high";
  paint.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png");
}

async function turn(card) {
  const mine = (turning.get(card) || 0) + 1;
  turning.set(card, mine);
  const model = card.dataset.model;
  const code = [...codes[model].code];
  card.querySelectorAll("[data-i]").forEach((slider) => {
    if (slider.dataset.turned) code[Number(slider.dataset.i)] = Number(slider.value); // sliders round, codes do not
    slider.nextElementSibling.textContent = Number(slider.value).toFixed(2);
  });
  try {
    const src = await call("unpack", [form.getAttribute("data-key"), model, code, codes[model].label]);
    if (mine === turning.get(card) && card.isConnected) card.querySelector(".rebuilt").src = src;
    showProblem("");
  } catch (error) {
    showProblem(error, () => turn(card));
  }
}

$("#result").addEventListener("input", (event) => {
  const card = event.target.closest(".card");
  event.target.dataset.turned = "true";
  event.target.nextElementSibling.textContent = Number(event.target.value).toFixed(2);
  clearTimeout(turnTimers.get(card));
  turnTimers.set(card, setTimeout(() => turn(card), 60));
});
$("#result").addEventListener("click", (event) => {
  if (!event.target.matches(".reset")) return;
  const card = event.target.closest(".card");
  const { code } = codes[card.dataset.model];
  card.querySelectorAll("[data-i]").forEach((slider) => {
    delete slider.dataset.turned;
    slider.value = code[Number(slider.dataset.i)];
  });
  turn(card);
});
form.addEventListener("submit", (event) => { event.preventDefault(); update(); });
form.addEventListener("change", (event) => {
  const { name } = event.target;
  if (name === "dataset") update({ picture: shown });
  if (name === "class" || name === "seed") update();
});
prepare();
if (!$("#content").matches("[data-found]")) update({ text: location.search.slice(1), address: location.search !== "" });
