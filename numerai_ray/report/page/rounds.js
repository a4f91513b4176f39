// Rounds: the metric round by round with the best so far, and the same as a list with every decision in words.

import { cut, duration, e4, fixed, h, interval, known, s } from "./dom.js";
import { extent, frame, kindKey, marker, path, told, widthOf } from "./charts.js";

export function changesText(changes) {
  const parts = Object.entries(changes ?? {}).map(([key, value]) => `${key.split(".").pop()}=${typeof value === "object" ? JSON.stringify(value) : value}`);
  return parts.length ? parts.join(", ") : "nothing changed";
}

function tellPoint(point, info) {
  return [
    `${cut(point.id)} (${point.kind}, round ${point.x})`,
    `decided by ${cut(info.metric, 30)} ${fixed(point.primary)}; all eras: BMC ${fixed(point.bmc)}, CORR ${fixed(point.corr, 4)}`,
    known(point.delta) ? `to its base ${e4(point.delta)} ${interval(point.delta - point.bar[0], point.delta + point.bar[1])}` : "",
  ].filter(Boolean).join("\n");
}

// `info` is RoundsInfo of numerai_ray/report/plots/rounds.py.
export function roundsChart(host, info, onPick) {
  if (!info || !info.points.length) return host.replaceChildren(h("p", { class: "dim" }, "No round is decided yet."));
  const { points, ticks: named, borders, best_so_far: best } = info;
  const width = widthOf(host), height = width < 500 ? 240 : 340, many = points.length > 140;
  const y = extent(many ? points.map((each) => each.primary) : points.flatMap((each) => [each.primary - each.bar[0], each.primary + each.bar[1]]));
  const every = Math.ceil(named.length / Math.max(3, Math.floor(width / 42)));
  const numbers = named.map(([number]) => number), names = new Map(named), wide = width / named.length > 84;
  const box = frame({
    width, height, label: `Primary metric of ${points.length} variants in ${named.length} rounds, with the best so far`,
    x: { from: numbers[0] - 0.5, to: numbers[numbers.length - 1] + 0.5, ticks: numbers.filter((_, at) => at % every === 0), text: (number) => (wide ? `${number} ${cut(names.get(number) ?? "", Math.floor(width / named.length / 8))}` : String(number)) },
    y: { from: y[0], to: y[1], name: `${cut(info.metric, 30)}, ${info.last < 1e9 ? `last ${info.last}` : "all"} eras (1e-4)` },
  });
  for (const at of borders) box.svg.append(s("line", { class: "zero", x1: box.px(at), x2: box.px(at), y1: box.top, y2: box.bottom, "stroke-dasharray": "3 3" }));
  if (best.length > 1) {
    const steps = best.flatMap(([x, value], at) => (at ? [[box.px(x), box.py(best[at - 1][1])], [box.px(x), box.py(value)]] : [[box.px(x), box.py(value)]]));
    box.svg.append(s("path", { class: "line", d: path(steps), stroke: "var(--best)" }));
  }
  for (const point of points) {
    const x = box.px(point.x + point.offset);
    if (!many && point.bar[0] + point.bar[1] > 0) box.svg.append(s("line", { class: `k-${point.kind}`, x1: x, x2: x, y1: box.py(point.primary - point.bar[0]), y2: box.py(point.primary + point.bar[1]), "stroke-opacity": 0.55 }));
    const mark = told(marker(point.kind, x, box.py(point.primary), many ? 2.4 : 4.2), tellPoint(point, info), onPick && (() => onPick(point.id)));
    // Hundreds of stops would lock the keyboard in; the table below has every one of them.
    if (many && point.kind !== "winner") mark.removeAttribute("tabindex");
    box.svg.append(mark);
  }
  host.replaceChildren(box.svg, kindKey([...new Set(points.map((each) => each.kind))]));
}

export function roundsList(host, records, opened) {
  const shown = opened.all ? records : records.slice(-8);
  const items = [...shown].reverse().map((record) => {
    const base = record.variants.find((each) => each.role === "base");
    const won = record.variants.find((each) => each.id === record.decision.winner);
    const delta = won?.evidence?.to_base;
    const what = record.kind === "joint" ? "several at once" : record.dimension;
    const warnings = [...new Set(record.variants.flatMap((each) => [...each.flags, ...(each.error ? [`failed: ${each.error}`] : [])].map((flag) => `${each.name}: ${flag}`)))];
    return h("li", {},
      h("span", { class: "no", "aria-label": `round ${record.number}` }, record.number),
      h("div", {},
        h("div", { class: "head" }, h("strong", {}, record.stage), what ? h("span", {}, cut(what)) : null,
          h("span", { class: "dim" }, duration(record.wall_s))),
        h("div", {}, `${cut(base?.name ?? "no base")} → `, h("span", { class: record.decision.promoted ? "won" : "" }, cut(won?.name ?? "nobody")),
          known(record.decision.gain) && record.decision.promoted ? h("span", { class: "num" }, ` ${e4(record.decision.gain)} ${delta ? interval(delta.low, delta.high) : ""}`) : ""),
        h("div", { class: "dim" }, cut(record.decision.reason, 400)),
        record.why && !record.decision.reason.includes(record.why) ? h("div", { class: "dim" }, cut(record.why, 240)) : null,
        warnings.slice(0, 4).map((each) => h("div", { class: "warn" }, cut(each, 240))),
        warnings.length > 4 ? h("div", { class: "dim" }, `and ${warnings.length - 4} more warnings`) : null));
  });
  const more = shown.length < records.length
    ? h("button", { type: "button", onclick: () => { opened.all = true; roundsList(host, records, opened); } }, `Show all ${records.length} rounds`) : null;
  host.replaceChildren(items.length ? h("ol", { class: "rounds" }, items) : h("p", { class: "dim" }, "No round is decided yet."), more ?? "");
}
