// The answer so far, as numerai_ray/report/sections/answer.py makes it: verdict, what it costs, the table, what to do next.

import { cut, facts, h, put } from "./dom.js";

const answerTable = (header, rows) => h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Winner by metric" }, h("table", { class: "answer" },
  h("thead", {}, h("tr", {}, header.map((each, at) => h("th", { scope: "col", class: at ? "n" : "" }, each)))),
  h("tbody", {}, rows.map((row) => h("tr", {}, row.map((each, at) => h("td", { class: at ? "n" : "", "data-label": header[at] }, cut(each, 90))))))));

export function answerBlock(host, block) {
  put(host,
    h("p", { class: "big" }, cut(block.lead, 60)),
    h("p", {}, cut(block.rest, 600)),
    facts(block.facts.map(([name, value]) => [name, cut(value, 60)])),
    block.notes.map((each) => h("p", { class: each.startsWith("Note: ") ? "warn" : "" }, cut(each, 400))),
    block.rows.length ? answerTable(block.header, block.rows) : "",
    block.next.map((each) => h("p", {}, "Next: ", h("code", {}, cut(each.command, 200)), each.why ? h("span", { class: "dim" }, ` ${cut(each.why, 300)}`) : "")));
}
