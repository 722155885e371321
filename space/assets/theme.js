// Before the first paint: the theme of the link (?__theme=dark, as Spaces passes it), the visitor's choice, or the system's.
(() => {
  const asked = new URLSearchParams(location.search).get("__theme");
  let kept = null;
  try { kept = localStorage.getItem("genhub-theme"); } catch { /* storage may be forbidden in a frame */ }
  const theme = [asked, kept].find((name) => name === "dark" || name === "light");
  const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
