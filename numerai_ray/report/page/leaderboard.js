// The leaderboard: filtered, sorted, with the columns that one wants; rows stay the same elements while it is sorted.

import { cut, duration, e4, fixed, h, interval, known, newId } from "./dom.js";
import { changesText } from "./rounds.js";

const COLUMNS = [
  ["primary", "Metric", (row) => fixed(row.primary), (row) => row.primary, true],
  ["delta", "Δ to base", (row) => e4(row.delta), (row) => row.delta, true],
  ["interval", "90 % interval", (row) => interval(row.delta_low, row.delta_high) || "–", (row) => row.delta_low, true],
  ["verdict", "Verdict", (row) => (row.verdict === "unknown" ? "–" : row.verdict), (row) => row.verdict],
  ["stage", "Stage", (row) => row.stage, (row) => row.stage],
  ["round", "Round", (row) => row.round, (row) => row.round, true],
  ["role", "Role", (row) => (row.winner ? "★ winner" : row.role), (row) => (row.winner ? "a" : row.role)],
  ["p_value", "p", (row) => fixed(row.p_value, 3), (row) => row.p_value, true],
  ["bmc_mean", "BMC", (row) => fixed(row.bmc_mean), (row) => row.bmc_mean, true],
  ["bmc_sharpe", "BMC Sharpe", (row) => fixed(row.bmc_sharpe, 2), (row) => row.bmc_sharpe, true],
  ["bmc_max_drawdown", "BMC drawdown", (row) => fixed(row.bmc_max_drawdown, 3), (row) => row.bmc_max_drawdown, true],
  ["corr_mean", "CORR", (row) => fixed(row.corr_mean, 4), (row) => row.corr_mean, true],
  ["corr_sharpe", "CORR Sharpe", (row) => fixed(row.corr_sharpe, 2), (row) => row.corr_sharpe, true],
  ["corr_with_benchmark", "With benchmark", (row) => fixed(row.corr_with_benchmark, 3), (row) => row.corr_with_benchmark, true],
  ["fits", "Fits new / stored", (row) => `${row.fits_new} / ${row.fits_stored}`, (row) => row.fits_new, true],
  ["fit_seconds", "Fit time", (row) => duration(row.fit_seconds), (row) => row.fit_seconds, true],
  ["changes", "Changes", (row) => cut(changesText(row.changes), 160), (row) => changesText(row.changes)],
  ["status", "Status", (row) => cut(row.status || "ok", 200), (row) => row.status],
];
const SHOWN = ["primary", "delta", "interval", "verdict", "stage", "role", "bmc_mean", "bmc_sharpe", "corr_mean", "corr_with_benchmark", "status"];
const WORDY = new Set(["changes", "status"]);
// So many rows are added at a time: a table of hundreds takes a browser a second to lay out.
const PAGE = 40;

// `chosen` are the ids that are drawn elsewhere, null where nothing is; `shown` the columns at first.
export function leaderboard(host, chosen, onChoose, shown = SHOWN, metric = "Metric") {
  let rows = [], texts = [], sort = null, most = PAGE, filter = "", found = [];
  const visible = new Set(shown), lines = new Map();
  const search = newId("filter"), count = h("span", { class: "dim", role: "status" });
  const head = h("tr"), body = h("tbody");
  // What decides is named by the plan.
  const title = (key, name) => (key === "primary" ? cut(metric, 30) : name);
  const input = h("input", { id: search, type: "search", placeholder: "name, change, stage, verdict", oninput: () => { filter = input.value.toLowerCase(); order(); } });
  const boxes = COLUMNS.map(([key, name]) => {
    const id = newId("column");
    return h("span", {}, h("input", { type: "checkbox", id, checked: visible.has(key), onchange: (event) => { visible[event.target.checked ? "add" : "delete"](key); lines.clear(); render(); } }), h("label", { for: id }, ` ${name}`));
  });
  const more = h("button", { type: "button", onclick: () => grow() });
  const scrolled = h("div", { class: "wide tall", tabindex: "0", role: "region", "aria-label": "Leaderboard, scrolled", onscroll: () => { if (scrolled.scrollTop + scrolled.clientHeight > scrolled.scrollHeight - 200) grow(); } });
  host.replaceChildren(
    h("div", { class: "tools" }, h("label", { for: search }, "Filter"), input, count, h("details", { class: "columns" }, h("summary", {}, "Columns"), h("div", {}, boxes))),
    scrolled, more);
  scrolled.append(h("table", {}, h("caption", { class: "dim", style: { "text-align": "left" } }, `Best first, a stage at a time: stages do not compare.${chosen ? " Chosen variants are drawn below." : ""}`), h("thead", {}, head), body));

  const shownColumns = () => COLUMNS.filter(([key]) => visible.has(key));
  function heading([key, name, , , numeric]) {
    const turn = () => { sort = sort?.key === key ? (sort.down ? { key, down: false } : null) : { key, down: true }; render(); };
    const direction = sort?.key === key ? (sort.down ? "descending" : "ascending") : "none";
    return h("th", { scope: "col", class: numeric ? "n" : "", "aria-sort": direction }, h("button", { type: "button", onclick: turn }, title(key, name)));
  }
  function line(row) {
    const place = `${row.stage} ${row.id}`;
    if (!lines.has(place)) {
      const tick = chosen && h("input", { type: "checkbox", checked: chosen.has(row.id), "aria-label": `Draw ${cut(row.id)}`, onchange: (event) => onChoose(row.id, event.target.checked) });
      const node = h("tr", { class: (chosen ? chosen.has(row.id) : row.winner) ? "chosen" : "" }, tick && h("td", {}, tick), h("td", { class: "id" }, cut(row.id, 90), row.winner && !chosen ? " ★" : ""),
        shownColumns().map(([key, , text, , numeric]) => h("td", { class: numeric ? "n" : WORDY.has(key) ? "text" : "short" }, text(row))));
      lines.set(place, { node, tick });
    }
    return lines.get(place);
  }
  function order() {
    most = PAGE;
    found = rows.filter((row, at) => !filter || texts[at].includes(filter));
    if (sort) {
      const value = COLUMNS.find(([key]) => key === sort.key)[3], way = sort.down ? -1 : 1;
      const missing = (each) => each === null || each === undefined || each === "";
      found = found.map((row) => [value(row), row]).sort(([one], [two]) => {
        if (missing(one) || missing(two)) return missing(one) - missing(two);
        return (known(one) && known(two) ? one - two : String(one).localeCompare(String(two))) * way;
      }).map(([, row]) => row);
    }
    body.replaceChildren(...found.slice(0, most).map((row) => line(row).node));
    count.textContent = `${found.length} of ${rows.length}`;
    tellMore();
  }
  function grow() {
    if (most >= found.length) return;
    body.append(...found.slice(most, most + PAGE).map((row) => line(row).node));
    most += PAGE;
    tellMore();
  }
  function tellMore() {
    more.hidden = most >= found.length;
    more.textContent = `Show ${Math.min(PAGE, found.length - most)} more of ${found.length}`;
  }
  function render() {
    const tools = document.activeElement?.closest?.("th") ? [...head.children].indexOf(document.activeElement.closest("th")) : -1;
    head.replaceChildren(...(chosen ? [h("th", { scope: "col" }, h("span", { class: "dim" }, "draw"))] : []), h("th", { scope: "col" }, "Variant"), ...shownColumns().map(heading));
    order();
    if (tools >= 0) head.children[tools]?.querySelector("button")?.focus();
  }
  return {
    set(given, named = metric) {
      metric = named;
      rows = given;
      texts = rows.map((row) => `${row.id} ${row.stage} ${row.verdict} ${row.role} ${changesText(row.changes)} ${row.status}`.toLowerCase());
      lines.clear();
      render();
    },
    mark() {
      for (const row of rows) {
        const seen = lines.get(`${row.stage} ${row.id}`);
        if (seen) { seen.tick.checked = chosen.has(row.id); seen.node.classList.toggle("chosen", chosen.has(row.id)); }
      }
    },
  };
}
