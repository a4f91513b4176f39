// Parallel coordinates: a line a variant of the joint rounds, an axis a dimension, and at the end what it was worth.

import { cut, fixed, h, known, s } from "./dom.js";
import { path, told, widthOf } from "./charts.js";

const HEIGHT = 300, TOP = 54, BOTTOM = 34, SIDE = 56, MOST_FOCUSED = 60;

// Where a value stands on its axis, 0 (below) to 1; null where it has none.
function place(axis) {
  if (axis.names) {
    const at = new Map(axis.names.map((name, index) => [name, index]));
    return (value) => (at.has(value) ? (at.get(value) + 0.5) / axis.names.length : null);
  }
  const scale = axis.log ? Math.log : (value) => value;
  const from = scale(axis.low), to = scale(axis.high);
  return (value) => (known(value) && (!axis.log || value > 0) ? (to === from ? 0.5 : (scale(value) - from) / (to - from)) : null);
}

const number = (value) => (Number.isInteger(value) ? String(value) : Number(value.toPrecision(3)).toString());
const text = (value) => (known(value) ? number(value) : cut(value ?? "–", 24));

export function parallel(host, joint, front, onPick) {
  const lines = joint.lines.filter((each) => each.scores.every(known));
  if (lines.length < 2) return host.replaceChildren(h("p", { class: "dim" }, "Two variants with scores are needed."));
  const axes = [...joint.axes, ...joint.metrics.map((name, at) => {
    const values = lines.map((each) => each.scores[at]);
    return { name, low: Math.min(...values), high: Math.max(...values), score: true };
  })];
  // On a phone the axes keep their distance, and the chart is moved sideways.
  const width = Math.max(widthOf(host), 2 * SIDE + 84 * (axes.length - 1)), gap = (width - 2 * SIDE) / (axes.length - 1);
  const x = (at) => SIDE + at * gap, y = (share) => HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
  const svg = s("svg", { class: "chart parallel", viewBox: `0 0 ${width} ${HEIGHT}`, role: "group",
    "aria-label": `${lines.length} variants over ${joint.axes.length} dimensions; each line is a variant` });
  svg.style.minWidth = `${width}px`;
  const back = s("g", { "aria-hidden": "true" });
  axes.forEach((axis, at) => {
    back.append(s("line", { class: "axis", x1: x(at), x2: x(at), y1: y(0), y2: y(1) }));
    back.append(s("text", { x: x(at), y: at % 2 ? 12 : 28, "text-anchor": "middle" }, cut(axis.name, 22)));
    const ends = axis.names ? axis.names.slice(0, 12).map((name, index) => [name, (index + 0.5) / axis.names.length]) : [[axis.low, 0], [axis.high, 1]];
    ends.forEach(([value, share], index) => {
      const label = axis.score ? fixed(value, 4) : text(value);
      const below = !axis.names && index === 0;
      back.append(s("text", { x: x(at) + (axis.names ? 6 : 0), y: y(share) + (axis.names ? 4 : below ? 15 : -4), "text-anchor": axis.names ? "start" : "middle" }, label));
    });
  });
  const places = axes.map(place), onFront = new Set(front.map((each) => each.id));
  const best = [...lines].sort((one, other) => other.scores[0] - one.scores[0])[0].id;
  const rank = (each) => (each.id === best ? 2 : onFront.has(each.id) ? 1 : 0);
  // The best are drawn last, and are reached first.
  const ordered = [...lines].sort((one, other) => rank(one) - rank(other) || one.scores[0] - other.scores[0]);
  for (const [at, each] of ordered.entries()) {
    const values = [...each.values, ...each.scores];
    const spots = values.map((value, axis) => [x(axis), places[axis](axes[axis].names ? String(value) : value)]).filter(([, share]) => share !== null).map(([px, share]) => [px, y(share)]);
    const kind = each.id === best ? "best" : onFront.has(each.id) ? "front" : "other";
    const line = s("path", { class: `mark way ${kind}`, d: path(spots) });
    const what = joint.axes.map((axis, index) => `${cut(axis.name, 40)} ${text(each.values[index])}`);
    const worth = joint.metrics.map((name, index) => `${name} ${fixed(each.scores[index])}`);
    told(line, `${cut(each.id)}${kind === "best" ? " (best)" : kind === "front" ? " (on the front)" : ""}\n${[...what, ...worth].join("\n")}`, () => onPick(each.id));
    if (at < ordered.length - MOST_FOCUSED) line.removeAttribute("tabindex");
    svg.append(line);
  }
  svg.prepend(back);
  const key = (name, kind) => h("li", {}, s("svg", { viewBox: "0 0 26 12", "aria-hidden": "true" }, s("path", { class: `mark way ${kind}`, d: "M1 6L25 6" })), name);
  host.replaceChildren(
    h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Parallel coordinates" }, svg),
    h("ul", { class: "key" }, key("best", "best"), onFront.size ? key("beaten by none in both metrics", "front") : null, key("other variants", "other")),
    h("p", { class: "dim" }, `Every scouted configuration over the dimensions that joint rounds vary. Focus or point at a line to read it; Enter adds its per-era curve.${front.length ? ` The front: ${front.slice(0, 6).map((each) => cut(each.id, 50)).join(", ")}${front.length > 6 ? ", …" : ""}.` : ""}`));
}
