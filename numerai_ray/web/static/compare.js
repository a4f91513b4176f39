// Any variants of any experiments, on the eras that all of them were scored on.

import { cut, e4, fixed, h, interval, newId, put } from "./dom.js";
import { ask, askCompared } from "./api.js";
import { curves } from "./curves.js";

const COLUMNS = [["primary", "Metric", 5], ["bmc_mean", "BMC", 5], ["bmc_sharpe", "BMC Sharpe", 2], ["bmc_max_drawdown", "BMC drawdown", 3], ["corr_mean", "CORR", 4], ["corr_sharpe", "CORR Sharpe", 2], ["corr_with_benchmark", "With benchmark", 3]];

export function comparePage(main, keys) {
  let chosen = [];
  const choices = h("div", { class: "tools" }), result = h("div"), drawn = h("div");
  main.replaceChildren(h("h1", {}, "Compare"), h("div", { class: "grid" },
    h("section", { class: "card", "aria-label": "Variants" }, h("h2", {}, "Variants"), choices, result),
    h("section", { class: "card", "aria-label": "Curves" }, h("h2", {}, "Per-era curves"), drawn)));
  const plot = curves(drawn);

  async function adder(key) {
    const id = newId("add"), board = await ask("leaderboard", { exp: key }).catch(() => ({ rows: [] }));
    const ids = [...new Map(board.rows.map((row) => [row.id, row])).values()];
    const select = h("select", { id, onchange: () => { if (select.value) { add(key, select.value); select.value = ""; } } },
      h("option", { value: "" }, "add a variant…"), ids.map((row) => h("option", { value: row.id }, `${row.winner ? "★ " : ""}${cut(row.id, 60)} (${row.stage})`)));
    choices.append(h("label", { for: id }, cut(key, 60)), select);
    const winner = ids.find((row) => row.winner) ?? ids[0];
    return winner ? [key, winner.id] : null;
  }
  function add(key, id) {
    if (!chosen.some(([one, two]) => one === key && two === id)) chosen.push([key, id]);
    draw();
  }
  async function draw() {
    if (!chosen.length) return result.replaceChildren(h("p", { class: "dim" }, "Choose variants above."));
    try {
      const found = await askCompared(chosen);
      put(result,
        h("p", { class: "dim", role: "status" }, `${found.eras.count} common eras, ${found.eras.first} to ${found.eras.last}; differences to the first, over the last ${found.last} of them.`),
        found.notes.map((each) => h("p", { class: "warn" }, cut(each, 300))),
        h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Comparison" }, h("table", {}, h("thead", {}, h("tr", {}, ["Experiment", "Variant", ...COLUMNS.map(([, name]) => name), "Δ to first", "Verdict"].map((each) => h("th", { scope: "col" }, each)), h("td", {}))),
          h("tbody", {}, found.rows.map((row, at) => h("tr", {}, h("td", {}, cut(row.experiment, 60)), h("td", { class: "id" }, cut(row.id)),
            COLUMNS.map(([key, , digits]) => h("td", { class: "n" }, key === "primary" ? `${cut(row.metric, 30)} ${fixed(row[key], digits)}` : fixed(row[key], digits))),
            h("td", { class: "n" }, row.to_first ? `${e4(row.to_first.mean)} ${interval(row.to_first.low, row.to_first.high)}` : "–"), h("td", {}, row.to_first ? row.verdict : "–"),
            h("td", {}, h("button", { type: "button", "aria-label": `Leave out ${cut(row.id)}`, onclick: () => { chosen.splice(at, 1); draw(); } }, "×"))))))));
    } catch (error) {
      result.replaceChildren(h("p", { class: "warn", role: "alert" }, cut(error.message, 400)), h("button", { type: "button", onclick: () => { chosen.pop(); draw(); } }, "Leave out the last one"));
    }
    const scores = await Promise.all(chosen.map(([key, id]) => ask("per-era", { exp: key, id }).catch(() => null)));
    plot.set(scores.flatMap((each, at) => (each ? [{ name: `${chosen[at][0]}: ${chosen[at][1]}`, scores: each }] : [])));
  }
  return {
    async load() {
      choices.replaceChildren();
      const known = keys.length ? keys : (await ask("experiments")).experiments.map((each) => each.key);
      for (const key of known) {
        const first = await adder(key);
        if (first && keys.length) chosen.push(first);
      }
      await draw();
    },
    resize: () => plot.draw(),
    onEvent: () => {},
  };
}
