// The frame of every chart: scales, ticks, axes and marks. Charts are SVG, drawn at the width they are shown at.

import { hideTip, s, showTip, tipped } from "./dom.js";

export const linear = (from, to, low, high) => (value) => low + ((value - from) / (to - from || 1)) * (high - low);

export function ticks(from, to, count) {
  const raw = (to - from) / Math.max(1, count);
  if (!(raw > 0)) return [from];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw);
  const found = [];
  for (let at = Math.ceil(from / step) * step; at <= to + step * 1e-9; at += step) found.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  return found;
}

export function extent(values, margin = 0.06) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [0, 1];
  const room = (high - low || Math.abs(high) || 1) * margin;
  return [low - room, high + room];
}

// Eras as Numerai writes them.
export const eraText = (value) => String(value).padStart(4, "0");

// What changes little is written in units of 1e-4, as everywhere in the program.
export const inE4 = (value) => (value * 1e4).toFixed(Math.abs(value * 1e4) < 10 && !Number.isInteger(value * 1e4) ? 1 : 0);

export function frame({ width, height, label, x, y, left = 52, right = 10, top = y.name ? 26 : 8, bottom = 30 }) {
  const svg = s("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label });
  const px = linear(x.from, x.to, left, width - right), py = linear(y.from, y.to, height - bottom, top);
  const back = s("g", { "aria-hidden": "true" });
  for (const at of y.ticks ?? ticks(y.from, y.to, 5)) {
    back.append(s("line", { class: at === 0 ? "zero" : "grid", x1: left, x2: width - right, y1: py(at), y2: py(at) }));
    back.append(s("text", { x: left - 6, y: py(at) + 4, "text-anchor": "end" }, (y.text ?? inE4)(at)));
  }
  for (const at of x.ticks ?? ticks(x.from, x.to, Math.max(2, Math.round(width / 110)))) {
    back.append(s("line", { class: "axis", x1: px(at), x2: px(at), y1: height - bottom, y2: height - bottom + 4 }));
    back.append(s("text", { x: px(at), y: height - bottom + 17, "text-anchor": "middle" }, (x.text ?? String)(at)));
  }
  back.append(s("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
  if (y.name) back.append(s("text", { x: 2, y: 12 }, y.name));
  svg.append(back);
  return { svg, px, py, left, right: width - right, top, bottom: height - bottom, width, from: x.from, to: x.to };
}

// Where on the x axis an event is, in the values of the axis.
export const valueAt = (box, event) => {
  const rect = box.svg.getBoundingClientRect(), x = (event.clientX - rect.left) * (box.width / rect.width);
  return box.from + ((x - box.left) / (box.right - box.left)) * (box.to - box.from);
};

// The place of the value nearest to `wanted` in an ascending list; -1 for none.
export function nearest(values, wanted) {
  let low = 0, high = values.length - 1;
  while (low < high) { const at = (low + high) >> 1; if (values[at] < wanted) low = at + 1; else high = at; }
  return low > 0 && Math.abs(values[low - 1] - wanted) < Math.abs(values[low] - wanted) ? low - 1 : high < 0 ? -1 : low;
}

// A line at what is nearest to the pointer, and what `tell` says of that place.
export function cursor(box, xs, tell) {
  const line = s("line", { class: "zero", y1: box.top, y2: box.bottom, visibility: "hidden" });
  box.svg.append(line);
  box.svg.addEventListener("pointermove", (event) => {
    const at = nearest(xs, valueAt(box, event));
    if (at < 0) return;
    line.setAttribute("x1", box.px(xs[at]));
    line.setAttribute("x2", box.px(xs[at]));
    line.setAttribute("visibility", "visible");
    showTip(tell(at), event.clientX, event.clientY);
  });
  box.svg.addEventListener("pointerleave", () => { hideTip(); line.setAttribute("visibility", "hidden"); });
}

export function marker(kind, x, y, size = 4.2) {
  const look = { class: `mark k-${kind}`, "stroke-width": 1.4 };
  if (kind === "base") return s("rect", { ...look, x: x - size, y: y - size, width: 2 * size, height: 2 * size });
  if (kind === "baseline") return s("path", { ...look, d: `M${x} ${y - size - 1}l${size + 1} ${size + 1}l${-size - 1} ${size + 1}l${-size - 1} ${-size - 1}z` });
  if (kind === "benchmark") return s("path", { ...look, d: `M${x} ${y - size - 1}l${size + 1} ${2 * size}h${-2 * size - 2}z` });
  return s("circle", { ...look, cx: x, cy: y, r: size });
}

// A mark that is focused tells what it is; `Enter` does what a click does.
export function told(node, text, onPick) {
  tipped(node, text);
  node.setAttribute("aria-label", text.replaceAll("\n", ", "));
  node.setAttribute("role", onPick ? "button" : "img");
  if (onPick) {
    node.setAttribute("tabindex", "0");
    node.style.cursor = "pointer";
    node.addEventListener("click", onPick);
    node.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); onPick(); } });
  }
  return node;
}

export const path = (points) => points.map(([x, y], at) => `${at ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

export const widthOf = (node, least = 280) => Math.max(least, Math.floor(node.clientWidth || 600));

const NAMES = { variant: "variant", winner: "winner", base: "base", baseline: "baseline", benchmark: "benchmark" };
export const kindKey = (kinds) => {
  const list = document.createElement("ul");
  list.className = "key";
  for (const kind of kinds) {
    const item = document.createElement("li");
    item.append(s("svg", { viewBox: "0 0 26 12", "aria-hidden": "true" }, marker(kind, 13, 6)), NAMES[kind]);
    list.append(item);
  }
  return list;
};
