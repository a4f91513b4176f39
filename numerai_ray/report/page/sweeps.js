// Sweeps and trade-off: the metric against the swept value, a panel a round, and CORR against BMC of everything.

import { cut, fixed, h, known, s } from "./dom.js";
import { extent, frame, inE4, kindKey, marker, path, told, widthOf } from "./charts.js";

// `said` is what stands below them, where no caption does.
export function sweepPanels(host, panels, said = "", metric = "BMC") {
  if (!panels.length) return host.replaceChildren(h("p", { class: "dim" }, "No dimension has been swept yet."));
  const grid = h("div", { class: "panels" });
  host.replaceChildren(grid);
  const all = panels.flatMap((panel) => panel.points.flatMap((each) => [each.primary - each.bar[0], each.primary + each.bar[1]]));
  const y = extent(all);
  for (const panel of panels) {
    const cell = h("figure", { style: { margin: "0" } });
    grid.append(cell);
    const width = widthOf(cell, 150), xs = extent(panel.points.map((each) => each.x), 0.14);
    const turned = panel.points.some((each) => each.value.length > 6);
    const box = frame({
      width, height: turned ? 206 : 180, bottom: turned ? 56 : 30, label: `Round ${panel.number}: metric against ${cut(panel.dimension)}`,
      x: { from: xs[0], to: xs[1], ticks: [] }, y: { from: y[0], to: y[1] }, left: 34,
    });
    const spots = panel.points.map((each) => [box.px(each.x), box.py(each.primary)]);
    if (panel.scale !== "names") box.svg.append(s("path", { class: "line", d: path(spots), stroke: "var(--field)", "stroke-width": 1 }));
    const base = panel.points.find((each) => each.kind === "base");
    if (base) box.svg.append(s("line", { x1: box.left, x2: box.right, y1: box.py(base.primary), y2: box.py(base.primary), stroke: "var(--base)", "stroke-dasharray": "5 3" }));
    panel.points.forEach((each, at) => {
      const [x, yy] = spots[at];
      box.svg.append(s("line", { class: `k-${each.kind}`, x1: x, x2: x, y1: box.py(each.primary - each.bar[0]), y2: box.py(each.primary + each.bar[1]), "stroke-opacity": 0.6 }));
      box.svg.append(told(marker(each.kind, x, yy), `${cut(panel.dimension)} = ${cut(each.value)} (${each.kind})\n${cut(metric, 30)} ${fixed(each.primary)}`));
      const text = cut(each.value, 12);
      box.svg.append(s("text", { "text-anchor": turned ? "end" : "middle", transform: turned ? `translate(${x + 3} ${box.bottom + 13}) rotate(-35)` : `translate(${x} ${box.bottom + 16})`, "aria-hidden": "true" }, text));
    });
    cell.append(h("figcaption", {}, h("strong", {}, `${panel.number} `), cut(panel.dimension), " ", h("span", { class: "dim" }, `${panel.scale === "log" ? "log scale" : ""}${panel.failed ? ` ${panel.failed} failed` : ""}`)), box.svg);
  }
  host.append(h("p", { class: "dim" }, said),
    kindKey([...new Set(panels.flatMap((panel) => panel.points.map((each) => each.kind)))]));
}

// `info`: points with label, kind, corr, contribution and whether they are on the front; metric is what CORR stands against.
export function tradeOff(host, info, onPick) {
  const seen = info.points.filter((each) => known(each.corr) && known(each.contribution)), title = (info.metric ?? "bmc").toUpperCase();
  if (seen.length < 2) return host.replaceChildren(h("p", { class: "dim" }, "Two variants with scores are needed."));
  const width = widthOf(host), x = extent(seen.map((each) => each.corr)), y = extent(seen.map((each) => each.contribution));
  const box = frame({
    width, height: 290, label: `CORR against ${title} of ${seen.length} variants`,
    x: { from: x[0], to: x[1], text: inE4 }, y: { from: y[0], to: y[1], name: `${title} (1e-4)` },
  });
  const front = seen.filter((each) => each.front).sort((one, two) => two.corr - one.corr), many = seen.length > 140;
  if (front.length > 1) {
    const steps = front.flatMap((each, at) => (at ? [[box.px(front[at - 1].corr), box.py(each.contribution)], [box.px(each.corr), box.py(each.contribution)]] : [[box.px(each.corr), box.py(each.contribution)]]));
    box.svg.append(s("path", { class: "line", d: path(steps), stroke: "var(--best)", "stroke-dasharray": "5 3" }));
  }
  for (const each of [...seen].reverse()) {
    const kind = each.kind === "best" ? "winner" : each.kind;
    const mark = marker(kind, box.px(each.corr), box.py(each.contribution), many ? 2.6 : 4.2);
    told(mark, `${cut(each.label)}${each.front ? " (on the front)" : ""}\nCORR ${fixed(each.corr, 4)}, ${title} ${fixed(each.contribution)}`, onPick && (() => onPick(each.label)));
    if (many && kind !== "winner") mark.removeAttribute("tabindex");
    box.svg.append(mark);
  }
  host.replaceChildren(box.svg, h("p", { class: "dim" }, `CORR (1e-4) to the right, ${title} up: what moves right and down follows the benchmark.`),
    kindKey([...new Set(seen.map((each) => (each.kind === "best" ? "winner" : each.kind)))]));
}
