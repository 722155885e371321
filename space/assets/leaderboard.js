// Leaderboard: links of the table change it in place; without this script they load the page anew.
"use strict";

const FOCUSED = "a, summary, input, button, [tabindex]";
const PLACED = ".scroll, .tabs ul, details"; // what a reader scrolled or opened stays so
const MOMENT = 600; // milliseconds for which a film that plays shows each
let latestTable = 0; // number of the newest request; older answers are dropped
let shownTable = location.search;

function nameOf(part) {
  return part.querySelector(":scope > summary")?.textContent ?? part.closest("[aria-label]").getAttribute("aria-label");
}

async function showTable(address) {
  const mine = ++latestTable;
  const board = $("#board");
  board.setAttribute("aria-busy", "true");
  try {
    const reply = await fetch(address.href);
    if (!reply.ok) throw new Error("no table");
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
    if (mine !== latestTable) return;
    const places = new Map([...board.querySelectorAll(PLACED)].map((part) => [nameOf(part), [part.scrollLeft, part.open]]));
    const focused = board.contains(document.activeElement);
    const place = [...board.querySelectorAll(FOCUSED)].indexOf(document.activeElement);
    board.replaceChildren(...fresh.querySelector("#board").childNodes);
    $("#status").textContent = fresh.querySelector("#status").textContent;
    roll();
    for (const part of board.querySelectorAll(PLACED)) {
      const [left, open] = places.get(nameOf(part)) ?? [];
      if (left) part.scrollLeft = left;
      if (open !== undefined) part.open = open;
    }
    shownTable = address.search;
    if (address.href !== location.href) history.pushState(null, "", address.href); // so that Back leads here again
    showAddress(address.search.slice(1), address.hash);
    if (focused) (board.querySelectorAll(FOCUSED)[place] || $("#content")).focus({ preventScroll: true });
  } catch {
    location.assign(address.href); // the plain way, with the browser's own word on what went wrong
  } finally {
    if (mine === latestTable) board.removeAttribute("aria-busy");
  }
}

// The moments of a training: a slider shows one of them at a time; without this script all lie below each other.
function roll() {
  const film = $(".film");
  if (!film) return;
  const [slider, button] = film.querySelectorAll("input, button");
  const moments = [...film.querySelectorAll("li")];
  const show = () => {
    moments.forEach((moment, i) => { moment.hidden = i !== Number(slider.value); });
    const { when } = moments[slider.value].dataset;
    film.querySelector("output").textContent = when;
    slider.setAttribute("aria-valuetext", when);
  };
  const load = () => moments.forEach((moment) => { moment.querySelector("img").loading = "eager"; });
  let playing = 0;
  const stop = () => {
    clearInterval(playing);
    playing = 0;
    button.textContent = "Play";
  };
  const step = () => {
    slider.value = Number(slider.value) + 1;
    show();
    if (slider.value === slider.max || !film.isConnected) stop();
  };
  button.addEventListener("click", () => {
    if (playing) return stop();
    load();
    if (slider.value === slider.max) slider.value = 0;
    show();
    button.textContent = "Stop";
    playing = setInterval(step, MOMENT);
    return undefined;
  });
  button.hidden = matchMedia("(prefers-reduced-motion: reduce)").matches;
  film.querySelector(".slider").hidden = false;
  slider.addEventListener("input", () => { stop(); show(); });
  for (const touch of ["pointerdown", "focus"]) slider.addEventListener(touch, load); // no gap while sliding
  show();
}

roll();
$("#board")?.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="leaderboard?"]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  link.focus({ preventScroll: true }); // not every browser does so by itself
  showTable(link);
});
window.addEventListener("popstate", () => {
  if ($("#board") && location.search !== shownTable) showTable(location); // not for a jump within the page
});
