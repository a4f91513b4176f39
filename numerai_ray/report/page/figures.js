// Figures of a report beside rounds, sweeps and curves; each takes the values of its plot in numerai_ray/report/plots.

import { cut, e4, fixed, h, known, s } from "./dom.js";
import { cursor, eraText, extent, frame, inE4, path, told, widthOf } from "./charts.js";


// A running value with its band over eras; `marks` are levels to hold it against, `dots` the values it is made of.
function bandChart(host, { label, eras, value, low, high, dots, marks = [], name, text, tell }) {
  const width = widthOf(host), shown = eras.map((_, at) => at);
  // The first intervals are as wide as the world; what matters is where things stand at the end.
  const y = extent([...value, ...(dots ?? []), ...marks.map((each) => each.at), ...shown.slice(-Math.ceil(eras.length * 0.8)).flatMap((at) => [low[at], high[at]])]);
  const box = frame({ width, height: width < 500 ? 190 : 230, label, x: { from: eras[0] - 1, to: eras[eras.length - 1] + 1, text: eraText }, y: { from: y[0], to: y[1], name, text } });
  const seen = shown.filter((at) => known(low[at]) && known(high[at])), within = (at) => Math.max(y[0], Math.min(y[1], at));
  const edge = (values, order) => order.map((at) => [box.px(eras[at]), box.py(within(values[at]))]);
  if (seen.length) box.svg.append(s("path", { class: "band", d: `${path([...edge(high, seen), ...edge(low, [...seen].reverse())])}Z` }));
  for (const each of marks) box.svg.append(s("line", { x1: box.left, x2: box.right, y1: box.py(each.at), y2: box.py(each.at), stroke: "var(--base)", "stroke-dasharray": each.dash }));
  if (dots) box.svg.append(s("path", { class: "dots", d: dots.map((each, at) => `M${box.px(eras[at]).toFixed(1)} ${box.py(each).toFixed(1)}h0`).join("") }));
  box.svg.append(s("path", { class: "line", d: path(shown.filter((at) => known(value[at])).map((at) => [box.px(eras[at]), box.py(value[at])])), stroke: "var(--best)" }));
  cursor(box, eras, tell);
  host.append(box.svg);
}

export function delta(host, info) {
  host.replaceChildren();
  for (const line of info.lines) {
    host.append(h("p", { class: "panel" }, `${line.stage}: ${line.title}`));
    bandChart(host, { label: `${line.stage}: cumulative gain`, eras: line.eras, value: line.total, low: line.low, high: line.high, name: `sum of ${cut(info.metric, 30)} gains over eras`, text: (value) => value.toFixed(2),
      marks: [{ at: 0, dash: "5 3" }], tell: (at) => `era ${eraText(line.eras[at])}\nsum of gains ${fixed(line.total[at], 3)}\nband ${fixed(line.low[at], 3)} to ${fixed(line.high[at], 3)}` });
  }
}

export function since(host, info) {
  host.replaceChildren();
  for (const panel of info.panels) {
    host.append(h("p", { class: "panel" }, panel.title));
    bandChart(host, { label: panel.title, eras: panel.eras, value: panel.mean, low: panel.low, high: panel.high, dots: panel.values, name: "BMC of an era (1e-4)", text: inE4,
      marks: [{ at: panel.promise, dash: "5 3" }, { at: panel.promise - panel.error, dash: "1 3" }, { at: panel.promise + panel.error, dash: "1 3" }],
      tell: (at) => `era ${eraText(panel.eras[at])}: ${e4(panel.values[at])}\nmean so far ${e4(panel.mean[at])} [${e4(panel.low[at])}, ${e4(panel.high[at])}]\npromised ${e4(panel.promise)}` });
  }
}

const quantile = (sorted, share) => {
  const at = share * (sorted.length - 1), low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
};

// A row a configuration: middle half, 90 %, median and mean of its eras' scores.
export function perEra(host, info) {
  host.replaceChildren();
  const names = { bmc: "BMC of an era", corr: "CORR of an era" };
  const cells = { corr: h("div"), bmc: h("div") };
  host.append(h("div", { class: "pair" }, cells.corr, cells.bmc));
  for (const [column, cell] of Object.entries(cells)) {
    const rows = info.spreads.filter((each) => each[column].length), width = widthOf(cell, 240);
    if (!rows.length) continue;
    const sorted = rows.map((each) => [...each[column]].sort((a, b) => a - b)), x = extent(sorted.flatMap((each) => [quantile(each, 0.01), quantile(each, 0.99)]));
    const box = frame({ width, height: 58 + 44 * rows.length, label: `${names[column]}: distribution by configuration`, left: 8, top: 8, x: { from: Math.min(0, x[0]), to: Math.max(0, x[1]), text: (value) => value.toFixed(2) }, y: { from: rows.length, to: 0, ticks: [] } });
    box.svg.append(s("line", { class: "zero", x1: box.px(0), x2: box.px(0), y1: box.top, y2: box.bottom }));
    rows.forEach((row, at) => {
      const all = sorted[at], mean = all.reduce((one, two) => one + two, 0) / all.length, y = box.py(at + 0.64);
      const [low, q1, middle, q3, high] = [0.05, 0.25, 0.5, 0.75, 0.95].map((share) => quantile(all, share)), color = `var(--${row.kind})`;
      // Heights that are the same whenever the same eras are drawn.
      const dots = row[column].filter((each) => each >= box.from && each <= box.to).map((each, place) => `M${box.px(each).toFixed(1)} ${(y + ((place * 7919) % 19) - 9).toFixed(0)}h0`).join("");
      box.svg.append(s("path", { class: "dots fine", d: dots, style: { stroke: color } }), s("text", { x: box.left + 2, y: y - 14, class: "strong" }, cut(row.label, 40)), s("line", { x1: box.px(low), x2: box.px(high), y1: y, y2: y, stroke: color, "stroke-width": 1.5 }));
      const text = `${row.label}\nmean ${fixed(mean, 4)}, median ${fixed(middle, 4)}\nmiddle half ${fixed(q1, 4)} to ${fixed(q3, 4)}\n90 % of ${all.length} eras ${fixed(low, 4)} to ${fixed(high, 4)}`;
      box.svg.append(told(s("rect", { class: "mark", x: box.px(q1), y: y - 7, width: Math.max(1, box.px(q3) - box.px(q1)), height: 14, fill: "var(--ground)", stroke: color, "stroke-width": 2, tabindex: "0" }), text),
        s("line", { x1: box.px(middle), x2: box.px(middle), y1: y - 7, y2: y + 7, stroke: color, "stroke-width": 2 }),
        s("path", { d: `M${box.px(mean)} ${y - 5}l5 5l-5 5l-5 -5z`, fill: "var(--text)", "pointer-events": "none" }));
    });
    cell.append(h("p", { class: "panel" }, names[column]), box.svg);
  }
}

// Squares as dark as predictions are alike, with the number in each.
export function correlation(host, info) {
  const count = info.names.length, names = info.names.map((each) => each.replace("=target_", "="));
  const width = Math.min(widthOf(host), 760), wide = width > 620, left = wide ? 230 : 26, cell = Math.min(46, (width - left - 4) / count), tall = Math.min(cell, 34);
  const low = Math.min(0.95, ...info.matrix.flat().filter(known));
  const svg = s("svg", { class: "chart", viewBox: `0 0 ${width} ${24 + tall * count}`, role: "group", "aria-label": `Correlations of the predictions of ${count} variants`, style: { "max-width": `${width}px` } });
  names.forEach((name, row) => {
    const y = 20 + row * tall;
    svg.append(s("text", { x: left - 6, y: y + tall / 2 + 4, "text-anchor": "end", "aria-hidden": "true" }, wide ? `${cut(name, 32)}  ${row + 1}` : String(row + 1)), s("text", { x: left + (row + 0.5) * cell, y: 14, "text-anchor": "middle", "aria-hidden": "true" }, String(row + 1)));
    info.matrix[row].forEach((value, column) => {
      const x = left + column * cell, share = known(value) && low < 1 ? (value - low) / (1 - low) : 0;
      svg.append(told(s("rect", { class: "mark", x, y, width: cell - 1.5, height: tall - 1.5, fill: "var(--best)", "fill-opacity": (0.08 + 0.92 * share).toFixed(2) }), `${names[row]}\n${names[column]}\n${fixed(value, 3)}`));
      if (cell >= 26) svg.append(s("text", { class: share > 0.45 ? "on" : "strong", x: x + cell / 2 - 1, y: y + tall / 2 + 4, "text-anchor": "middle", "pointer-events": "none", "aria-hidden": "true" }, known(value) ? value.toFixed(2).replace(/^0/, "") : "–"));
    });
  });
  host.replaceChildren(svg, wide ? "" : h("ol", { class: "dim" }, names.map((each) => h("li", {}, each))));
}

// Bars of one or more configurations side by side: `rows` are names, `values` a list a configuration.
function bars(host, { label, rows, values, kinds, title, shown }) {
  const width = widthOf(host, 240), each = 11 * values.length + 22, most = Math.max(1e-12, ...values.flat().filter(known)), right = width - 56;
  const svg = s("svg", { class: "chart", viewBox: `0 0 ${width} ${each * rows.length + 4}`, role: "group", "aria-label": label });
  rows.forEach((name, row) => {
    const top = row * each + 4;
    svg.append(s("text", { x: 0, y: top + 10, class: "strong" }, cut(name, 44)));
    values.forEach((list, at) => {
      const size = Math.max(1, (list[row] / most) * right), y = top + 15 + 11 * at;
      svg.append(told(s("rect", { class: "mark", x: 0, y, width: size, height: 9, fill: `var(--${kinds[at]})` }), `${name}\n${title[at]} ${shown(list[row])}`),
        s("text", { x: size + 5, y: y + 8.5, class: "small", "aria-hidden": "true" }, shown(list[row])));
    });
  });
  host.append(svg);
}

export function groups(host, info) {
  const percent = (value) => `${(100 * value).toFixed(0)} %`, cells = [h("div"), h("div")];
  host.replaceChildren(h("ul", { class: "key" }, info.kinds.map((kind, at) => h("li", {}, h("span", { class: "swatch", style: { background: `var(--${kind})` } }), `${kind}: ${cut(info.names[at], 40)}`))), h("div", { class: "pair" }, cells));
  [["Share of importance", info.importance, percent], ["Mean size of exposure", info.exposure, (value) => fixed(value, 3)]].forEach(([name, values, shown], at) => {
    cells[at].append(h("p", { class: "panel" }, name));
    bars(cells[at], { label: name, rows: info.groups, values, kinds: info.kinds, title: info.names, shown });
  });
}

export function importances(host, info) {
  host.replaceChildren();
  bars(host, { label: "Share of the variation by dimension", rows: info.names, values: [info.shares], kinds: ["best"], title: ["share of the variation"], shown: (value) => `${(100 * value).toFixed(0)} %` });
}
