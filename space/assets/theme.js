// Before the first paint: the theme that the visitor chose in this visit, that of the link (?__theme=dark, as Spaces passes
// it) or of an earlier one of this visit, the visitor's last choice, or the system's.
(() => {
  const read = (kind, key) => {
    try { return window[kind].getItem(key); } catch { return null; /* storage may be forbidden in a frame */ }
  };
  const known = (name) => name === "dark" || name === "light";
  const link = new URLSearchParams(location.search).get("__theme");
  const asked = known(link) ? link : read("sessionStorage", "genhub-theme-asked");
  if (known(link)) try { sessionStorage.setItem("genhub-theme-asked", link); } catch { /* for this page only */ }
  const theme = [read("sessionStorage", "genhub-theme"), asked, read("localStorage", "genhub-theme")].find(known);
  const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
