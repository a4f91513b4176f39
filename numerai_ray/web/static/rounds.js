// Rounds: the metric round by round with the best so far, and the same as a list with every decision in words.

import { cut, duration, e4, fixed, h, interval, known, s } from "./dom.js";
import { extent, frame, kindKey, marker, path, told, widthOf } from "./charts.js";

const primary = (variant) => variant.metrics?.judged?.mean ?? variant.metrics?.bmc_last?.mean;
export const kindOf = (variant, record) =>
  variant.role === "variant" && variant.id === record.decision.winner ? "winner"
    : variant.role === "base" && record.stage === "final" ? "winner" : variant.role;

export function changesText(changes) {
  const parts = Object.entries(changes ?? {}).map(([key, value]) => `${key.split(".").pop()}=${typeof value === "object" ? JSON.stringify(value) : value}`);
  return parts.length ? parts.join(", ") : "nothing changed";
}

function tellVariant(variant, record) {
  const delta = variant.evidence?.to_base;
  return [
    `${cut(variant.id)} (${variant.role}, round ${record.number})`,
    `BMC last eras ${fixed(primary(variant))}, BMC ${fixed(variant.metrics?.bmc.mean)}, CORR ${fixed(variant.metrics?.corr.mean, 4)}`,
    delta ? `to its base ${e4(delta.mean)} ${interval(delta.low, delta.high)}` : "",
    ...(variant.flags ?? []).map((each) => cut(each, 160)),
  ].filter(Boolean).join("\n");
}

export function roundsChart(host, records, onPick) {
  const width = widthOf(host), height = width < 500 ? 240 : 380;
  const points = [], best = [], borders = [];
  records.forEach((record, at) => {
    if (at && records[at - 1].stage !== record.stage) borders.push(at + 0.5);
    const seen = record.variants.filter((each) => each.role !== "benchmark" && known(primary(each)));
    seen.forEach((variant, place) => {
      const x = at + 1 + 0.62 * ((place + 0.5) / seen.length - 0.5);
      points.push({ x, variant, record, kind: kindOf(variant, record), value: primary(variant) });
      if (record.stage === "scout" && variant.id === record.decision.winner) best.push([x, primary(variant)]);
    });
  });
  if (!points.length) return host.replaceChildren(h("p", { class: "dim" }, "No round is decided yet."));
  const many = points.length > 140;
  const bars = (point) => {
    const delta = point.variant.evidence?.to_base;
    return delta && known(delta.low) ? [point.value + delta.low - delta.mean, point.value + delta.high - delta.mean] : null;
  };
  const y = extent(many ? points.map((each) => each.value) : points.flatMap((each) => [each.value, ...(bars(each) ?? [])]));
  const every = Math.ceil(records.length / Math.max(3, Math.floor(width / 42)));
  const numbers = records.map((each) => each.number).filter((_, at) => at % every === 0);
  const box = frame({
    width, height, label: `Primary metric of ${points.length} variants in ${records.length} rounds, with the best so far`,
    x: { from: 0.5, to: records.length + 0.5, ticks: numbers },
    y: { from: y[0], to: y[1], name: "BMC, last eras (1e-4)" },
  });
  for (const at of borders) box.svg.append(s("line", { class: "zero", x1: box.px(at), x2: box.px(at), y1: box.top, y2: box.bottom, "stroke-dasharray": "3 3" }));
  if (best.length > 1) {
    const steps = best.flatMap(([x, value], at) => (at ? [[box.px(x), box.py(best[at - 1][1])], [box.px(x), box.py(value)]] : [[box.px(x), box.py(value)]]));
    box.svg.append(s("path", { class: "line", d: path(steps), stroke: "var(--best)" }));
  }
  for (const point of points) {
    const x = box.px(point.x), ends = bars(point);
    if (ends && !many) box.svg.append(s("line", { class: `k-${point.kind}`, x1: x, x2: x, y1: box.py(ends[0]), y2: box.py(ends[1]), "stroke-opacity": 0.55 }));
    const mark = marker(point.kind, x, box.py(point.value), many ? 2.4 : 4.2);
    told(mark, tellVariant(point.variant, point.record), () => onPick(point.variant.id));
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
        record.why ? h("div", { class: "dim" }, cut(record.why, 240)) : null,
        warnings.slice(0, 4).map((each) => h("div", { class: "warn" }, cut(each, 240))),
        warnings.length > 4 ? h("div", { class: "dim" }, `and ${warnings.length - 4} more warnings`) : null));
  });
  const more = shown.length < records.length
    ? h("button", { type: "button", onclick: () => { opened.all = true; roundsList(host, records, opened); } }, `Show all ${records.length} rounds`) : null;
  host.replaceChildren(h("ol", { class: "rounds" }, items), more ?? "");
}
