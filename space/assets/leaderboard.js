// Leaderboard: links of the table change it in place; without this script they load the page anew.
"use strict";

let latestTable = 0; // number of the newest request; older answers are dropped

async function showTable(link) {
  const mine = ++latestTable;
  const board = $("#board");
  const place = [...board.querySelectorAll("a")].indexOf(link);
  board.setAttribute("aria-busy", "true");
  try {
    const reply = await fetch(link.href);
    if (!reply.ok) throw new Error("no table");
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
    if (mine !== latestTable) return;
    board.replaceChildren(...fresh.querySelector("#board").childNodes);
    $("#status").textContent = fresh.querySelector("#status").textContent;
    roll();
    showAddress(link.search.slice(1), link.hash);
    (board.querySelectorAll("a")[place] || $("#content")).focus({ preventScroll: true });
  } catch {
    location.assign(link.href); // the plain way, with the browser's own word on what went wrong
  } finally {
    if (mine === latestTable) board.removeAttribute("aria-busy");
  }
}

// The moments of a training: a slider shows one of them at a time; without this script all lie below each other.
function roll() {
  const film = $(".film");
  if (!film) return;
  const slider = film.querySelector("input");
  const moments = [...film.querySelectorAll("li")];
  const show = () => {
    moments.forEach((moment, i) => { moment.hidden = i !== Number(slider.value); });
    const { when } = moments[slider.value].dataset;
    film.querySelector("output").textContent = when;
    slider.setAttribute("aria-valuetext", when);
  };
  moments.forEach((moment) => { moment.querySelector("img").loading = "eager"; }); // no gap while sliding
  film.querySelector(".slider").hidden = false;
  slider.addEventListener("input", show);
  show();
}

roll();
$("#board")?.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || link.hasAttribute("download") || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  showTable(link);
});
