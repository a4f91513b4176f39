// The answer so far, as `status --json` has it: verdict, what it costs, how sure it is, what to do next.

import { cut, e4, facts, fixed, h, interval, known, put } from "./dom.js";

function table(rows) {
  const digits = (row) => (/sharpe/.test(row.metric) ? 2 : /drawdown|benchmark/.test(row.metric) ? 3 : 5);
  const difference = (row) => {
    const found = row.difference;
    if (!found) return "–";
    const plain = (value) => (known(value) ? `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(digits(row))}` : "–");
    const shown = digits(row) === 5 ? e4 : plain;
    return `${shown(found.mean)} [${shown(found.low)}, ${shown(found.high)}]`;
  };
  return h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Winner by metric" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Metric", "Winner", "Baseline", "Benchmark", "Difference (90 % interval)"].map((each, at) => h("th", { scope: "col", class: at ? "n" : "" }, each)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, h("td", {}, cut(row.title, 60)), ["winner", "baseline", "benchmark"].map((key) => h("td", { class: "n" }, fixed(row[key], digits(row)))), h("td", { class: "n" }, difference(row)))))));
}

export function answerBlock(host, answer) {
  const [word, ...rest] = answer.verdict.split(": ");
  put(host,
    h("p", { class: "big" }, known(answer.gain) ? `${cut(word, 40)}: ${e4(answer.gain)} BMC` : cut(word, 40)),
    h("p", {}, cut(rest.join(": "), 600)),
    facts([["90 % interval", interval(answer.low, answer.high) || "–"], ["To expect", e4(answer.expected)], ["p, whole search", fixed(answer.p_value, 3)], ["Winner", cut(answer.winner || "–", 60)], ["Tried", `${answer.variants} variants in ${answer.rounds} rounds`]]),
    answer.table.length ? table(answer.table) : "",
    answer.costs.map((each) => h("p", { class: "warn" }, cut(each, 300))),
    answer.checks.map((each) => h("p", {}, cut(each, 300))),
    answer.flags.map((each) => h("p", { class: "warn" }, cut(each, 300))),
    answer.next.map((each) => h("p", {}, "next: ", h("code", {}, cut(each.command, 200)), each.why ? h("span", { class: "dim" }, ` (${cut(each.why, 200)})`) : "")));
}
