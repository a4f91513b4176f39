// The page: which of its three views is shown, the line to the server, light and dark.

import { hideTip } from "./dom.js";
import { listen } from "./api.js";
import { comparePage } from "./compare.js";
import { experimentPage } from "./experiment.js";
import { listPage } from "./list.js";

const main = document.getElementById("main"), crumb = document.getElementById("crumb"), line = document.getElementById("line");
const picked = new Set();
let view = null;

function show() {
  hideTip();
  const [, where = "", name = ""] = location.hash.split("?")[0].split("/");
  const query = new URLSearchParams(location.hash.split("?")[1] ?? "");
  if (where === "e") {
    const key = decodeURIComponent(name);
    crumb.textContent = `/ ${key.slice(0, 80)}`;
    document.title = `${key.slice(0, 80)} · numerai-ray`;
    view = experimentPage(main, key);
  } else if (where === "compare") {
    crumb.textContent = "/ compare";
    document.title = "compare · numerai-ray";
    view = comparePage(main, query.getAll("exp"));
  } else {
    crumb.textContent = "";
    document.title = "numerai-ray";
    view = listPage(main, picked);
  }
  view.load();
}

const system = matchMedia("(prefers-color-scheme: dark)"), button = document.getElementById("theme");
let theme = localStorage.getItem("theme");
function dress() {
  const now = theme ?? (system.matches ? "dark" : "light");
  document.documentElement.dataset.theme = now;
  button.textContent = now === "dark" ? "Light" : "Dark";
}
button.addEventListener("click", () => {
  theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", theme);
  dress();
});
system.addEventListener("change", dress);
dress();

let wait = 0;
addEventListener("resize", () => { clearTimeout(wait); wait = setTimeout(() => view?.resize?.(), 150); });
addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
addEventListener("hashchange", () => { show(); main.focus(); scrollTo(0, 0); });
listen((event) => view?.onEvent(event), (up, again) => {
  line.textContent = up ? "live" : "connection lost, trying again";
  line.classList.toggle("off", !up);
  if (up && again) view?.load();  // what happened meanwhile
});
show();
