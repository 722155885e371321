// Learn and use: a look inside a generator whenever its form changes; code to copy.
"use strict";

const INSIDE_PAUSE = 180; // milliseconds without a change before asking
const form = $("#inside-form");
let newest = 0; // number of the newest request; older answers are dropped
let insideTimer = 0;

async function lookInside() {
  const mine = ++newest;
  clearTimeout(insideTimer);
  const asked = new FormData(form);
  const model = asked.get("model");
  $("#inside-steps").setAttribute("aria-busy", "true");
  try {
    const answer = await call("inside", [new URLSearchParams(asked).toString()]);
    if (mine !== newest) return;
    $("#inside-steps").innerHTML = answer.steps;
    if (form.dataset.model && form.dataset.model !== model) { // another model has other classes
      $("#inside-form").innerHTML = answer.choices;
      form.querySelector("[name=model]:checked").focus({ preventScroll: true });
      reveal();
    }
    form.dataset.model = model;
    showProblem("");
  } catch (error) {
    if (mine === newest) showProblem(error, lookInside);
  } finally {
    if (mine === newest) $("#inside-steps").setAttribute("aria-busy", "false");
  }
}

if (form) {
  form.addEventListener("submit", (event) => { event.preventDefault(); lookInside(); });
  form.addEventListener("input", () => {
    clearTimeout(insideTimer);
    insideTimer = setTimeout(lookInside, INSIDE_PAUSE);
  });
  form.addEventListener("click", (event) => {
    if (event.target.id !== "inside-dice") return;
    $("#inside-seed").value = crypto.getRandomValues(new Uint32Array(1))[0] % 10000;
    lookInside();
  });
  // Asked for when it comes into sight: who reads further up costs nothing.
  new IntersectionObserver((seen, observer) => {
    if (!seen.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    lookInside();
  }, { rootMargin: "300px" }).observe(form);
}

document.querySelectorAll(".copy").forEach((button) => {
  button.addEventListener("click", () => copy(button, document.getElementById(button.dataset.code).textContent));
});
