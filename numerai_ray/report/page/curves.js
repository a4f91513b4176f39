// Per-era curves of several variants: cumulative or smoothed, zoomed by dragging, wheel, keys or buttons.

import { cut, fixed, h, hideTip, newId, s, showTip } from "./dom.js";
import { eraText, extent, frame, inE4, nearest, path, ticks, valueAt, widthOf } from "./charts.js";

const DASHES = ["", "6 3", "9 3 2 3", "2 3"], OF_KIND = { best: "", base: "9 3 2 3", baseline: "6 3", benchmark: "2 3", second: "9 3 2 3", third: "4 2" };
// A series with a `kind` has the colour that its role has in every picture, any other one that of its place.
const look = (series, at) => (series.kind ? { stroke: `var(--${series.kind})`, "stroke-dasharray": OF_KIND[series.kind] ?? "" } : { stroke: `var(--s${at % 8})`, "stroke-dasharray": DASHES[at % 4] });
const VIEWS = {
  "cumulative BMC": ["bmc", true], "cumulative CORR": ["corr", true],
  "BMC, mean of 20 eras": ["bmc", false], "CORR, mean of 20 eras": ["corr", false],
};
const SMOOTH = 20;

function lineOf(scores, view) {
  const [column, summed] = VIEWS[view];
  const eras = scores.era.map(Number), values = scores[column], found = [];
  let sum = 0;
  const window = [];
  values.forEach((value, at) => {
    if (value === null || !Number.isFinite(eras[at])) return;
    sum += value;
    if (!summed) {
      window.push(value);
      if (window.length > SMOOTH) sum -= window.shift();
      if (window.length < SMOOTH) return;
    }
    found.push([eras[at], summed ? sum : sum / window.length]);
  });
  return found;
}

// `band` are the first and last era that the primary metric counts.
export function curves(host, start = "cumulative BMC", band = null) {
  let view = start, series = [], range = null, lines = [], box = null;
  const choose = newId("view"), plot = h("div", { class: "zoom", tabindex: "0", role: "group", "aria-label": "Per-era curves; arrow keys move, plus and minus zoom, 0 shows all" });
  const select = h("select", { id: choose, onchange: () => { view = select.value; draw(); } }, Object.keys(VIEWS).map((each) => h("option", { value: each }, each)));
  select.value = view;
  const button = (text, name, act) => h("button", { type: "button", "aria-label": name, onclick: act }, text);
  const keys = h("ul", { class: "key" }), said = h("p", { class: "dim", "aria-live": "polite" });
  host.replaceChildren(h("div", { class: "tools" }, h("label", { for: choose }, "Show"), select,
    button("+", "Zoom in", () => zoom(0.5)), button("−", "Zoom out", () => zoom(2)), button("All", "Show all eras", () => { range = null; draw(); })), plot, keys, said);

  const whole = () => extent(lines.flatMap((each) => each.length ? [each[0][0], each[each.length - 1][0]] : []), 0.01);
  function zoom(factor, middle) {
    const [from, to] = range ?? whole(), [low, high] = whole(), at = middle ?? (from + to) / 2;
    const size = Math.max(8, (to - from) * factor);
    const begin = at - (at - from) * (size / (to - from));
    range = size >= high - low ? null : [Math.max(low, begin), Math.min(high, begin + size)];
    draw();
  }
  function move(share) {
    if (!range) return;
    const [low, high] = whole(), by = Math.max(low - range[0], Math.min(high - range[1], share * (range[1] - range[0])));
    range = [range[0] + by, range[1] + by];
    draw();
  }

  function draw() {
    lines = series.map((each) => lineOf(each.scores, view));
    keys.replaceChildren(...series.map((each, at) => h("li", {}, s("svg", { viewBox: "0 0 26 12", "aria-hidden": "true" },
      s("path", { d: "M1 6H25", class: "line", ...look(each, at) })), cut(each.name))));
    if (!lines.some((each) => each.length)) {
      box = null;
      plot.replaceChildren(h("p", { class: "dim" }, series.length ? "No per-era scores to draw." : "Choose variants in the leaderboard."));
      return;
    }
    const [from, to] = range ?? whole(), width = widthOf(plot), height = width < 500 ? 250 : 330;
    const inside = lines.map((each) => each.filter(([era]) => era >= from && era <= to));
    const y = extent(inside.flatMap((each) => each.map(([, value]) => value)));
    const summed = VIEWS[view][1];
    box = { ...frame({ width, height, label: `${view} of ${series.length} variants, eras ${Math.ceil(from)} to ${Math.floor(to)}`,
      x: { from, to, ticks: ticks(from, to, Math.max(3, Math.round(width / 110))), text: eraText },
      y: { from: y[0], to: y[1], name: `${view}${summed ? "" : " (1e-4)"}`, text: summed ? (value) => value.toFixed(2) : inE4 } }), inside };
    if (band && band[1] > from && band[0] < to) box.svg.prepend(s("rect", { class: "window", x: box.px(Math.max(from, band[0])), width: box.px(Math.min(to, band[1])) - box.px(Math.max(from, band[0])), y: box.top, height: box.bottom - box.top }));
    inside.forEach((each, at) => box.svg.append(s("path", { class: "line", d: path(each.map(([era, value]) => [box.px(era), box.py(value)])), ...look(series[at], at) })));
    box.cursor = s("line", { class: "zero", y1: box.top, y2: box.bottom, visibility: "hidden" });
    box.drag = s("rect", { y: box.top, height: box.bottom - box.top, fill: "var(--best)", "fill-opacity": 0.15, visibility: "hidden" });
    box.svg.append(box.cursor, box.drag);
    plot.replaceChildren(box.svg);
  }

  const eraAt = (event) => valueAt(box, event);
  const closest = (line, era) => line[nearest(line.map(([each]) => each), era)];
  let dragFrom = null;
  plot.addEventListener("pointermove", (event) => {
    if (!box) return;
    const era = eraAt(event), at = closest(box.inside.find((each) => each.length) ?? [], era);
    if (!at) return;
    box.cursor.setAttribute("x1", box.px(at[0]));
    box.cursor.setAttribute("x2", box.px(at[0]));
    box.cursor.setAttribute("visibility", "visible");
    const rows = box.inside.map((each, place) => [series[place].name, closest(each, at[0])]).filter(([, each]) => each && Math.abs(each[0] - at[0]) < 8);
    rows.sort((one, two) => two[1][1] - one[1][1]);
    showTip([`era ${eraText(at[0])}`, ...rows.map(([name, each]) => `${fixed(each[1], 4)}  ${cut(name, 50)}`)].join("\n"), event.clientX, event.clientY);
    if (dragFrom !== null) {
      const [one, two] = [box.px(dragFrom), box.px(era)].sort((a, b) => a - b);
      box.drag.setAttribute("x", one);
      box.drag.setAttribute("width", Math.max(0, two - one));
      box.drag.setAttribute("visibility", "visible");
    }
  });
  plot.addEventListener("pointerdown", (event) => { if (box && event.button === 0 && event.pointerType !== "touch") { dragFrom = eraAt(event); plot.setPointerCapture(event.pointerId); } });
  plot.addEventListener("pointerup", (event) => {
    if (dragFrom === null || !box) return;
    const [from, to] = [dragFrom, eraAt(event)].sort((a, b) => a - b), [low, high] = whole();
    dragFrom = null;
    box.drag.setAttribute("visibility", "hidden");
    if (to - from >= 6) { range = [Math.max(low, from), Math.min(high, to)]; draw(); }
  });
  plot.addEventListener("pointerleave", () => { hideTip(); box?.cursor.setAttribute("visibility", "hidden"); });
  plot.addEventListener("dblclick", () => { range = null; draw(); });
  plot.addEventListener("wheel", (event) => { if (box && event.ctrlKey) { event.preventDefault(); zoom(event.deltaY > 0 ? 1.25 : 0.8, eraAt(event)); } }, { passive: false });
  plot.addEventListener("keydown", (event) => {
    const act = { "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => { range = null; draw(); }, ArrowLeft: () => move(-0.25), ArrowRight: () => move(0.25) }[event.key];
    if (act) {
      event.preventDefault();
      act();
      if (box) said.textContent = `eras ${Math.ceil(box.from)} to ${Math.floor(box.to)}`;
    }
  });
  return { set: (found) => { series = found; draw(); }, draw };
}
