// Real or fake: deals rounds, takes guesses by mouse or keys, keeps the score in this browser.
"use strict";

const PATIENCE = 1500; // milliseconds between two looks at whether the images have been read
const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie" };
const FEW = 5; // rounds below which a share says little
const content = $("#content");
const dataset = content.dataset.dataset;
const place = `genhub-play-${dataset}`;
let round = null; // the open round's id
let busy = false;

function blank() {
  return { right: 0, wrong: 0, tie: 0, streak: 0, best: 0, families: {} };
}

// What this browser keeps, as far as it makes sense; null where it keeps nothing.
function readScore() {
  const whole = (value) => (Number.isSafeInteger(value) && value > 0 ? value : 0);
  try {
    const kept = JSON.parse(localStorage.getItem(place));
    if (!kept) return null;
    const found = blank();
    for (const key of ["right", "wrong", "tie", "streak", "best"]) found[key] = whole(kept[key]);
    for (const [name, part] of Object.entries(kept.families || {})) {
      if (part) found.families[name] = { rounds: whole(part.rounds), fooled: Number(part.fooled) || 0 };
    }
    return found;
  } catch { return null; /* storage may be forbidden, or was written by others */ }
}

const score = readScore() || blank();

function keepScore() {
  try { localStorage.setItem(place, JSON.stringify(score)); } catch { /* kept for this visit only */ }
}

function count(outcome, family) {
  Object.assign(score, readScore()); // another tab may have gone on
  score[outcome] += 1;
  if (outcome === "right") score.streak += 1;
  if (outcome === "wrong") score.streak = 0;
  score.best = Math.max(score.best, score.streak);
  const part = (score.families[family] ||= { rounds: 0, fooled: 0 });
  part.rounds += 1;
  part.fooled += { right: 0, tie: 0.5, wrong: 1 }[outcome];
  keepScore();
}

const percent = (part) => `${Math.round((100 * part.fooled) / part.rounds)} %`;

function bar(share) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 8");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const [kind, width] of [["back", 100], ["fill", 100 * share]]) {
    const part = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    part.setAttribute("class", kind);
    part.setAttribute("width", width);
    part.setAttribute("height", 8);
    svg.append(part);
  }
  return svg;
}

function showScore() {
  for (const key of ["right", "wrong", "tie", "streak", "best"]) $(`#score-${key}`).textContent = score[key];
  const parts = Object.entries(score.families).filter(([, part]) => part.rounds > 0);
  parts.sort(([, a], [, b]) => b.fooled / b.rounds - a.fooled / a.rounds || b.rounds - a.rounds);
  $("#reset").disabled = parts.length === 0;
  $("#fooled").hidden = parts.length === 0;
  $("#fooled tbody").replaceChildren(...parts.map(([name, part]) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    const rounds = document.createElement("td");
    rounds.textContent = part.rounds;
    const share = document.createElement("td");
    share.append(bar(part.fooled / part.rounds), percent(part));
    row.append(head, rounds, share);
    return row;
  }));
  const sure = parts.filter(([, part]) => part.rounds >= FEW);
  const [most] = sure;
  $("#fooled-line").textContent = !parts.length ? "Nobody yet: play a round."
    : !most ? `A family needs ${FEW} rounds before its share says anything.`
      : most[1].fooled === 0 ? "Nobody has fooled you so far."
        : `${most[0]}: it fooled you in ${percent(most[1])} of ${most[1].rounds} rounds. 50 % is pure guessing.`;
}

function setSides(deal) {
  for (const side of ["left", "right"]) {
    const figure = $(`#${side}`);
    const image = figure.querySelector("img");
    figure.className = "side";
    image.hidden = !deal;
    if (deal) image.src = deal[side];
    image.alt = `${side === "left" ? "Left" : "Right"} image`;
    figure.querySelector(".truth").hidden = true;
    figure.querySelector(".ask").hidden = false;
  }
}

function allow(yes) {
  document.querySelectorAll("[data-guess]").forEach((button) => { button.disabled = !yes; });
}

function say(text) {
  $("#status").textContent = text;
}

async function deal(remark = "") {
  if (busy) return;
  busy = true;
  round = null;
  const wasHere = document.activeElement === $("#next");
  content.setAttribute("aria-busy", "true");
  $("#next").hidden = true;
  $("#tie").hidden = false;
  setSides(null);
  allow(false);
  showProblem("");
  say("Shuffling…");
  try {
    let dealt = await call("deal", [dataset]);
    while (dealt.state === "reading") {
      say("Reading the real images. This takes a few seconds, once…");
      await new Promise((done) => { setTimeout(done, PATIENCE); });
      dealt = await call("deal", [dataset]);
    }
    if (dealt.state === "missing") {
      $("#reason").textContent = dealt.reason;
      $("#missing").hidden = false;
      $("#table").hidden = true;
      return;
    }
    round = dealt.round;
    setSides(dealt);
    allow(true);
    say(`${remark} Which one is real?`.trim());
    if (wasHere) content.focus({ preventScroll: true }); // not on a button, which a second Enter would press
  } catch (error) {
    say("");
    showProblem(error, () => deal());
  } finally {
    busy = false;
    content.setAttribute("aria-busy", "false");
  }
}

function revealTruth(answer, guess) {
  for (const side of ["left", "right"]) {
    const figure = $(`#${side}`);
    const real = answer.real === side;
    figure.classList.add(real ? "real" : "fake");
    const truth = figure.querySelector(".truth");
    truth.hidden = false;
    truth.textContent = (real ? "Real" : "Fake") + (guess === side ? ", you said real" : "");
    figure.querySelector(".ask").hidden = true;
    figure.querySelector("img").alt = `${side === "left" ? "Left" : "Right"} image: ${real ? "real" : "fake"}`;
    if (!real) {
      const link = document.createElement("a");
      link.href = answer.compare;
      link.textContent = answer.model;
      link.title = "See more images of the same draw";
      truth.append(" ", link);
    }
  }
  const what = answer.label === null ? "" : ` Class: ${answer.label}.`;
  const said = { right: "✓ Right!", wrong: "✗ Fooled!", tie: "≈ Hard to tell indeed." }[answer.outcome];
  say(`${said} The ${answer.real} one is real. The other is by: ${answer.family}.${what}`);
}

async function guess(which) {
  if (busy || !round) return;
  busy = true;
  allow(false);
  try {
    const query = new URLSearchParams({ round, guess: which });
    const reply = await fetch(`guess?${query}`, { method: "POST" });
    if (!reply.ok) throw new Error("The server did not take the guess. Please try again.");
    const answer = await reply.json();
    round = null;
    if (answer.problem) {
      busy = false;
      await deal(answer.problem);
      return;
    }
    count(answer.outcome, answer.family);
    revealTruth(answer, which);
    showScore();
    $("#tie").hidden = true;
    $("#next").hidden = false;
    $("#next").focus({ preventScroll: true });
  } catch (error) {
    allow(true);
    showProblem(error, () => { showProblem(""); guess(which); });
  } finally {
    busy = false;
  }
}

document.querySelectorAll("[data-guess]").forEach((button) => {
  button.addEventListener("click", () => guess(button.dataset.guess));
});
$("#next").addEventListener("click", () => deal());
$("#reset").addEventListener("click", () => {
  Object.assign(score, blank());
  keepScore();
  showScore();
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || !KEYS[event.key] || !round) return;
  const elsewhere = !content.contains(event.target);
  if (elsewhere && (event.target !== document.body || event.key === "ArrowDown")) return; // ↓ scrolls the page
  event.preventDefault(); // the page would scroll
  guess(KEYS[event.key]);
});
showScore();
if ($("#missing").hidden) deal();
