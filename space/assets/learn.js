// Learn and use: a look inside a generator whenever its form changes; code to copy.
"use strict";

const INSIDE_PAUSE = 180; // milliseconds without a change before asking
const form = $("#inside-form");
const looks = newest($("#inside-steps"));

function lookInside() {
  const asked = new FormData(form);
  const model = asked.get("model");
  return looks.ask(async (counts) => {
    const answer = await call("inside", [new URLSearchParams(asked).toString()]);
    if (!counts()) return;
    $("#inside-steps").innerHTML = answer.steps;
    if (form.dataset.model && form.dataset.model !== model) { // another model has other classes
      $("#inside-form").innerHTML = answer.choices;
      form.querySelector("[name=model]:checked").focus({ preventScroll: true });
      reveal();
    }
    form.dataset.model = model;
  }, lookInside);
}

if (form) {
  form.addEventListener("submit", (event) => { event.preventDefault(); lookInside(); });
  form.addEventListener("input", () => looks.later(lookInside, INSIDE_PAUSE));
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
