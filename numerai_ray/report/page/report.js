// The report as a page: its figures drawn at the width they are shown at, its leaderboard whole, light and dark.

import { hideTip } from "./dom.js";
import { curves } from "./curves.js";
import { roundsChart } from "./rounds.js";
import { sweepPanels, tradeOff } from "./sweeps.js";
import { correlation, delta, groups, importances, perEra, since } from "./figures.js";
import { leaderboard } from "./leaderboard.js";

const data = JSON.parse(document.getElementById("data").textContent);
const DRAW = {
  cumulative: cumulative, delta, since, correlation, groups, importances, "per-era": perEra,
  rounds: (host, info) => roundsChart(host, info), sweeps: (host, info) => sweepPanels(host, info.panels, "", info.metric), tradeoff: (host, info) => tradeOff(host, info),
};

const redraw = new Map();
function cumulative(host, info) {
  const hosts = [document.createElement("div"), document.createElement("div")];
  host.className = "pair";
  host.replaceChildren(...hosts);
  const drawn = ["cumulative BMC", "cumulative CORR"].map((view, at) => curves(hosts[at], view, info.window));
  drawn.forEach((each) => each.set(info.series));
  redraw.set(host, () => drawn.forEach((each) => each.draw()));
}

function draw(host) {
  if (redraw.has(host)) redraw.get(host)();
  else DRAW[host.dataset.figure](host, data.figures[host.dataset.figure]);
}
const hosts = [...document.querySelectorAll("[data-figure]")];
// What is folded has no width yet: it is drawn when it is opened.
const drawAll = () => { hideTip(); hosts.filter((each) => each.clientWidth > 0).forEach(draw); };
document.querySelectorAll("details").forEach((each) => each.addEventListener("toggle", () => hosts.filter((host) => each.open && each.contains(host)).forEach(draw)));
let wait = 0;
addEventListener("resize", () => { clearTimeout(wait); wait = setTimeout(drawAll, 150); });
addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });

const place = document.getElementById("leaderboard");
if (place && data.leaderboard) {
  const { columns, rows } = data.leaderboard;
  leaderboard(place, null, null, ["primary", "delta", "interval", "corr_mean", "verdict"], data.leaderboard.metric).set(rows.map((row) => Object.fromEntries(columns.map((name, at) => [name, row[at]]))));
}

// A link into a chapter that is folded opens it; on paper everything is open.
const contents = document.querySelector("nav details"), wide = matchMedia("(min-width: 1200px)");
const fit = () => { if (contents) contents.open = wide.matches; };
wide.addEventListener("change", fit);
fit();
for (const link of document.querySelectorAll("nav a")) {
  link.addEventListener("click", () => {
    for (let each = document.getElementById(link.hash.slice(1)); each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
    if (!wide.matches) contents.open = false;
  });
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
// On a phone a picture is as wide as the page; a tap shows it large, to be moved sideways.
for (const picture of document.querySelectorAll("figure > .picture")) picture.addEventListener("click", () => picture.classList.toggle("large"));
drawAll();
