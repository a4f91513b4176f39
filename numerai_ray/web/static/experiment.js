// One experiment: the answer so far, the running round, rounds, leaderboard, curves, configs, logs and notes.

import { badge, cut, e4, facts, fixed, h, interval, known, newId, put, shown } from "./dom.js";
import { answerBlock } from "./answer.js";
import { ask } from "./api.js";
import { curves } from "./curves.js";
import { roundsChart, roundsList } from "./rounds.js";
import { runningCard } from "./running.js";
import { parallel } from "./parallel.js";
import { sweepPanels, tradeOff } from "./sweeps.js";
import { leaderboard } from "./leaderboard.js";

const MOST_DRAWN = 8;

export function experimentPage(main, key) {
  const chosen = new Set(), scores = new Map(), opened = { all: false };
  let status = null, overview = null, rows = [], state = "", touched = false;
  const part = (title, size = "") => {
    const id = newId("part"), body = h("div");
    return { body, card: h("section", { class: `card ${size}`, "aria-labelledby": id }, h("h2", { id }, title), body) };
  };
  const head = h("div"), answer = part("Answer so far", "half"), now = h("section", { class: "card half", "aria-label": "Running now" });
  const chart = part("Rounds", "rest"), list = part("Decisions", "third"), board = part("Leaderboard"), lines = part("Per-era curves", "rest");
  const trade = part("CORR and BMC", "third"), sweep = part("Metric against swept value"), several = part("Several dimensions at once"), diff = part("Configs, side by side", "half"), logs = part("Logs", "half"), notes = part("Notes");
  list.body.className = "tall";
  list.body.tabIndex = 0;
  head.append(h("p", { class: "dim", role: "status" }, "Loading…"));
  const grid = h("div", { class: "grid", hidden: true }, answer.card, now, chart.card, list.card, board.card, lines.card, trade.card, sweep.card, several.card, diff.card, logs.card, notes.card);
  main.replaceChildren(head, grid);
  const drawNow = runningCard(now), table = leaderboard(board.body, chosen, choose), plot = curves(lines.body);

  function choose(id, on) {
    touched = true;
    if (on && chosen.size >= MOST_DRAWN) chosen.delete(chosen.values().next().value);
    chosen[on ? "add" : "delete"](id);
    table.mark();
    drawCurves();
  }
  const pick = (id) => choose(id, !chosen.has(id));

  async function drawCurves() {
    const wanted = [...chosen];
    await Promise.all(wanted.filter((id) => !scores.has(id)).map(async (id) => {
      scores.set(id, await ask("per-era", { exp: key, id }).catch(() => null));
    }));
    plot.set(wanted.filter((id) => chosen.has(id) && scores.get(id)).map((id) => ({ name: id, scores: scores.get(id) })));
    drawDiff();
  }

  function drawHead() {
    const page = status.page ? h("a", { href: `report?exp=${encodeURIComponent(key)}`, target: "_blank", rel: "noopener" }, "report") : null;
    head.replaceChildren(h("div", { class: "head" }, h("h1", {}, cut(overview.name, 120)), badge(state), (overview.tags ?? []).map((each) => h("span", { class: "tag" }, cut(each, 40))), page),
      h("p", {}, cut(overview.idea, 1200)), overview.novelty ? h("p", { class: "dim" }, cut(overview.novelty, 1200)) : "",
      overview.error ? h("p", { class: "warn" }, cut(overview.error, 600)) : "");
  }
  function drawAnswer() {
    if (overview.answer && overview.answer.kind !== "nothing yet") return answerBlock(answer.body, state === "running" ? { ...overview.answer, next: [] } : overview.answer);
    const best = status.best, found = overview.headline;
    const last = status.rounds[status.rounds.length - 1];
    if (!best) return answer.body.replaceChildren(h("p", { class: "dim" }, state === "running" ? "No round is decided yet; the first one is on its way." : `No round is decided yet; \`numerai-ray run ${status.experiment}\` starts.`));
    put(answer.body,
      h("div", { class: "big" }, found ? `${e4(found.gain)} ${cut(overview.metric, 30)}` : `${cut(overview.metric, 30)} ${fixed(rows.find((row) => row.id === best.id)?.primary)}`),
      h("p", {}, found ? `${interval(found.low, found.high)} ${found.ours} against ${found.theirs} in ${found.stage}: ${found.verdict}.` : "Nothing to hold it against yet."),
      facts([["Best so far", cut(best.id)], [cut(overview.metric, 30), fixed(rows.find((row) => row.id === best.id)?.primary)], ["BMC", fixed(best.metrics?.bmc.mean)], ["CORR", fixed(best.metrics?.corr.mean, 4)],
        ["With benchmark", fixed(best.metrics?.avg_corr_with_benchmark, 3)], ["Rounds", `${status.rounds.length}${overview.budget_rounds ? `, ${status.rounds.filter((each) => each.stage === "scout").length} of at most ${overview.budget_rounds} scouting` : ""}`], ["Margin", known(overview.margin) ? e4(overview.margin) : "–"]]),
      h("p", { class: "dim", style: { "margin-top": ".5rem" } }, `Last decision: ${cut(last.decision.reason, 300)}`),
      best.flags.map((each) => h("p", { class: "warn" }, cut(each, 300))));
  }
  function drawRunning(running) {
    drawNow(running, state, overview?.metric);
    answer.card.classList.toggle("half", !now.hidden);
  }
  function drawNotes() {
    const written = [...(overview.notes ?? [])].reverse().slice(0, 100);
    notes.body.replaceChildren(...(written.length ? written.map((each) => h("p", {}, h("span", { class: "dim" }, `${each.at.slice(0, 16).replace("T", " ")}  `), each.text))
      : [h("p", { class: "dim" }, `None yet: numerai-ray note ${status.experiment} "…"`)]));
  }

  // Two choices of variants that stay as they were set while rounds come in; until then the best so far.
  const selects = ["first", "second"].map((name) => ({ name, id: newId(name), node: h("select", { onchange: (event) => { event.target.dataset.set = ""; drawDiff(); } }) }));
  selects.forEach((each) => each.node.setAttribute("id", each.id));
  const rowsOfDiff = h("div", { class: "wide tall", tabindex: "0", role: "region", "aria-label": "Differences" });
  diff.body.replaceChildren(h("div", { class: "tools" }, selects.map((each) => [h("label", { for: each.id }, each.name), each.node])), rowsOfDiff);
  async function drawDiff() {
    const [first, second] = selects.map((each) => each.node.value);
    if (!first || !second) return rowsOfDiff.replaceChildren(h("p", { class: "dim" }, "Two variants are needed."));
    try {
      const found = await ask("diff", { exp: key, first, second });
      rowsOfDiff.replaceChildren(found.rows.length
        ? h("table", {}, h("thead", {}, h("tr", {}, ["Setting", "first", "second"].map((each) => h("th", { scope: "col" }, each)))), h("tbody", {}, found.rows.map((row) => h("tr", {}, h("td", { class: "mono" }, cut(row.path, 90)), h("td", {}, cut(shown(row.first), 200)), h("td", {}, cut(shown(row.second), 200))))))
        : h("p", { class: "dim" }, "The two are alike."), h("p", { class: "dim" }, `${found.same} settings are the same.`));
    } catch (error) {
      rowsOfDiff.replaceChildren(h("p", { class: "warn" }, cut(error.message, 300)));
    }
  }

  const trial = newId("trial"), whose = h("select", { id: trial, onchange: drawLog }), text = h("pre", { class: "log", tabindex: "0", role: "region", "aria-label": "Log" });
  logs.body.replaceChildren(h("div", { class: "tools" }, h("label", { for: trial }, "Of"), whose, h("button", { type: "button", onclick: () => drawLog() }, "Read again")), text);
  async function drawLog() {
    try {
      const found = await ask("log", { exp: key, id: whose.value || undefined });
      text.textContent = found.lines === null ? `${found.log}: there is none` : `${found.bytes > found.shown ? `… the last ${found.shown.toLocaleString("en")} of ${found.bytes.toLocaleString("en")} bytes\n` : ""}${found.lines.join("\n") || "(empty)"}`;
      text.scrollTop = text.scrollHeight;
    } catch (error) {
      text.textContent = error.message;
    }
  }

  function fillChoices() {
    const ran = rows.filter((row) => row.role !== "benchmark").map((row) => row.id);
    const ids = [...new Set(ran)];
    const options = (select, extra, preferred) => {
      const before = select.value;
      select.replaceChildren(...extra, ...ids.map((id) => h("option", { value: id }, cut(id, 60))));
      select.value = ids.includes(before) && (select === whose || "set" in select.dataset) ? before : preferred;
    };
    const base = status.rounds[0]?.variants.find((each) => each.role === "base")?.id ?? ids[0];
    options(selects[0].node, [], base);
    options(selects[1].node, [], status.best?.id === base ? ids.find((id) => id !== base) : status.best?.id);
    options(whose, [h("option", { value: "" }, "the driver")], "");
    if (touched) return;
    chosen.clear();
    const roles = ["base", "baseline", "benchmark"].map((role) => rows.find((row) => row.stage === rows[0].stage && row.role === role)?.id);
    for (const id of [status.best?.id, ...roles]) if (id) chosen.add(id);
  }

  async function load() {
    try {
      [status, overview] = await Promise.all([ask("status", { exp: key }), ask("overview", { exp: key })]);
      rows = status.rounds.length ? (await ask("leaderboard", { exp: key })).rows : [];
    } catch (error) {
      head.replaceChildren(h("h1", {}, cut(key, 120)), h("p", { class: "warn", role: "alert" }, cut(error.message, 1000)));
      return;
    }
    state = status.state;
    grid.hidden = false;
    scores.clear();
    drawHead();
    drawAnswer();
    drawRunning(status.running);
    fillChoices();
    drawCharts();
    roundsList(list.body, status.rounds, opened);
    table.set(rows, overview.metric);
    drawNotes();
    drawCurves();
    drawLog();
  }
  function drawCharts() {
    if (!status) return;
    roundsChart(chart.body, overview.rounds_plot, pick);
    const tried = rows.filter((row) => row.stage === (rows[0]?.stage === "scout" ? "scout" : rows.find((each) => each.stage === "scout")?.stage ?? rows[0]?.stage));
    const front = new Set((status.answer?.front ?? []).map((each) => each.id));  // of BMC and CORR, the axes here
    tradeOff(trade.body, { points: tried.map((row) => ({ label: row.id, kind: row.winner ? "best" : row.role, corr: row.corr_mean, contribution: row.bmc_mean, front: front.has(row.id) })) }, pick);
    sweepPanels(sweep.body, overview.sweeps, `${cut(overview.metric, 30)} in 1e-4; a bar is the 90 % interval of the difference to the round's base, the dashed line.`, overview.metric);
    several.card.hidden = !overview.joint;
    if (overview.joint) parallel(several.body, overview.joint, status.answer?.front ?? [], pick);
  }
  return {
    load,
    resize: () => { drawCharts(); plot.draw(); },
    onEvent(event) {
      if (event.key !== key) return;
      if (event.changed) load();
      else if (status) {
        if (event.state !== state) { state = event.state; drawHead(); }
        drawRunning(event.running);
      }
    },
  };
}
