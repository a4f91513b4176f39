// All experiments: searched, by tag, sorted, and picked to be compared.

import { age, badge, cut, e4, fixed, h, interval, newId } from "./dom.js";
import { ask } from "./api.js";

const SORTS = {
  "newest first": (one, two) => (two.updated ?? 0) - (one.updated ?? 0),
  "largest gain": (one, two) => (two.headline?.gain ?? -9) - (one.headline?.gain ?? -9),
  "best score": (one, two) => (two.best?.primary ?? -9) - (one.best?.primary ?? -9),
  name: (one, two) => one.key.localeCompare(two.key),
};

export function listPage(main, picked) {
  let entries = [], query = "", tags = new Set(), order = "newest first";
  const search = newId("search"), sorting = newId("sort");
  const input = h("input", { id: search, type: "search", placeholder: "name, idea, tag", oninput: () => { query = input.value.toLowerCase(); draw(); } });
  const select = h("select", { id: sorting, onchange: () => { order = select.value; draw(); } }, Object.keys(SORTS).map((each) => h("option", {}, each)));
  const cloud = h("div", { class: "tools", role: "group", "aria-label": "Tags" }), body = h("tbody"), said = h("p", { class: "dim", role: "status" }, "Loading…");
  const compare = h("button", { type: "button", onclick: () => { location.hash = `#/compare?${[...picked].map((key) => `exp=${encodeURIComponent(key)}`).join("&")}`; } }, "Compare chosen");
  main.replaceChildren(
    h("h1", {}, "Experiments"),
    h("div", { class: "card", style: { "margin-top": "1rem" } },
      h("div", { class: "tools" }, h("label", { for: search }, "Search"), input, h("label", { for: sorting }, "Sort"), select, compare), cloud,
      h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Experiments" }, h("table", {}, h("thead", {}, h("tr", {},
        ["", "Experiment", "State", "Best", "Gain", "Rounds", "Changed", "Data"].map((each) => (each ? h("th", { scope: "col" }, each) : h("td", {}))))), body)), said));

  function row(entry) {
    const tick = h("input", { type: "checkbox", checked: picked.has(entry.key), "aria-label": `Compare ${cut(entry.key)}`,
      onchange: (event) => { picked[event.target.checked ? "add" : "delete"](entry.key); compare.disabled = picked.size < 1; } });
    const gain = entry.headline;
    return h("tr", {},
      h("td", {}, entry.best ? tick : ""),
      h("td", { class: "id" }, h("a", { href: `#/e/${encodeURIComponent(entry.key)}` }, cut(entry.name ?? entry.key)), h("div", { class: "dim" }, cut(entry.idea ?? "", 200)),
        (entry.tags ?? []).map((each) => [h("span", { class: "tag" }, cut(each, 40)), " "]),
        entry.error ? h("div", { class: "warn" }, cut(entry.error, 240)) : null, entry.fault ? h("div", { class: "warn" }, cut(entry.fault, 240)) : null),
      h("td", {}, badge(entry.state)),
      h("td", {}, entry.best ? [h("div", {}, fixed(entry.best.primary)), h("div", { class: "dim" }, cut(entry.best.id, 50))] : "–"),
      h("td", { class: "text" }, gain ? [`${e4(gain.gain)} `, h("span", { class: "dim" }, interval(gain.low, gain.high)), h("div", { class: "dim" }, `${gain.stage}: ${cut(gain.verdict, 70)}`)] : "–"),
      h("td", { class: "n" }, entry.rounds ?? "–"),
      h("td", { class: "short" }, age(entry.updated)),
      h("td", {}, cut(entry.data_version ?? "–", 40), entry.last_era ? h("div", { class: "dim" }, `to era ${entry.last_era}`) : ""));
  }
  function draw() {
    const all = [...new Set(entries.flatMap((each) => each.tags ?? []))].sort();
    tags = new Set([...tags].filter((each) => all.includes(each)));
    cloud.replaceChildren(...all.map((tag) => h("button", { type: "button", class: "tag", "aria-pressed": tags.has(tag), onclick: () => { tags[tags.has(tag) ? "delete" : "add"](tag); draw(); } }, cut(tag, 40))));
    const seen = entries.filter((each) => `${each.key} ${each.name} ${each.idea} ${(each.tags ?? []).join(" ")}`.toLowerCase().includes(query) && [...tags].every((tag) => (each.tags ?? []).includes(tag)));
    body.replaceChildren(...seen.sort(SORTS[order]).map(row));
    compare.disabled = picked.size < 1;
    said.textContent = entries.length ? `${seen.length} of ${entries.length} experiments` : "No experiment here yet: `numerai-ray new NAME` makes one, and it appears by itself.";
  }
  async function load() {
    try {
      entries = (await ask("experiments")).experiments;
      draw();
    } catch (error) {
      said.textContent = error.message;
    }
  }
  return { load, onEvent: (event) => { if (event.changed || !entries.some((each) => each.key === event.key && each.state === event.state)) load(); } };
}
