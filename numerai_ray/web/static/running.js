// The round that runs right now: trials, fits, machine, time left.

import { bar, cut, duration, facts, fixed, h, known } from "./dom.js";

const MOST_FITS = 12;

// Ray's own dashboard may ask for a token, which its command tells.
const isRay = (url) => /^https?:\/\/[\w.:[\]-]+\/?$/.test(url ?? "");
const rayPage = (url, page, text) => h("a", { href: `${url.replace(/\/$/, "")}/${page}`, target: "_blank", rel: "noopener noreferrer" }, text);
const region = (name) => h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": name });

// The parts stay and are filled again every second or two: what is scrolled or has the focus keeps it.
export function runningCard(host) {
  const title = h("h2"), said = h("p", { class: "dim" }), links = h("p", { hidden: true }), told = h("div"), variants = region("Variants that run"), fitted = region("Fits that run"), more = h("p", { class: "dim" });
  let linked = null;
  host.replaceChildren(title, said, told, links, variants, fitted, more);

  function link(url) {
    const good = isRay(url) ? url : null;
    if (good === linked) return;
    linked = good;
    links.hidden = !good;
    links.replaceChildren(...(good ? [rayPage(good, "", "Ray's dashboard"), h("span", { class: "dim" }, " (tasks and nodes) token: ", h("code", {}, "ray get-auth-token"))] : []));
  }

  return function draw(running, state, metric = "BMC") {
    host.hidden = state !== "running";
    said.hidden = Boolean(running);
    for (const each of [told, variants, fitted, more]) each.hidden = !running;
    if (!running) {
      title.textContent = "Running now";
      said.textContent = "Between two rounds, or data is being read.";
      return link(null);
    }
    const what = running.dimension ? `varying ${running.dimension === "joint" ? "several at once" : cut(running.dimension)}` : "";
    const trials = running.trials.map((trial) => {
      const over = trial.error ? h("span", { class: "bad" }, `failed: ${cut(trial.error, 120)}`) : trial.pruned ? cut(trial.pruned, 120) : null;
      return h("tr", {}, h("td", {}, cut(trial.variant)), h("td", {}, bar(trial.folds_done / (trial.folds || 1), `folds of ${cut(trial.variant)}`)),
        h("td", { class: "n" }, `${trial.folds_done}/${trial.folds}`), h("td", { class: over ? "" : "n" }, over ?? fixed(trial.primary)));
    });
    const fits = (running.fits ?? []).slice(0, MOST_FITS).map((fit) => h("tr", {}, h("td", {}, cut(fit.name, 70)),
      h("td", {}, bar(fit.trees_in_all ? fit.trees / fit.trees_in_all : 0, `${fit.unit ?? "trees"} of ${cut(fit.name)}`)),
      h("td", { class: "n" }, fit.trees ? `${fit.trees}/${fit.trees_in_all} ${cut(fit.unit ?? "trees", 20)}` : ""), h("td", { class: "n" }, known(fit.trees_per_second) && fit.trees_per_second ? `${fit.trees_per_second}/s` : ""), h("td", {}, isRay(running.ray_dashboard) && fit.node ? rayPage(running.ray_dashboard, "#/cluster", cut(fit.node, 40)) : cut(fit.node ?? "", 40))));
    const machine = running.machine, gigabytes = (bytes) => `${(bytes / 1e9).toFixed(1)} GB`;
    const rest = (running.fits ?? []).length - fits.length;
    const left = known(running.seconds_left) ? `about ${duration(running.seconds_left)}` : "not known before the first fit is done";
    title.textContent = `Running now: round ${running.round}, ${cut(running.stage)} ${what}`;
    told.replaceChildren(facts([["Time left of this round", left], ...(machine ? [["Cores busy", `${fixed(machine.cores_busy, 1)} of ${machine.cores}`], ["Memory", `${gigabytes(machine.memory_used_bytes)} of ${gigabytes(machine.memory_bytes)}`]] : [])]));
    link(running.ray_dashboard);
    variants.replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, ["Variant", "Folds", "", `${cut(metric, 30)}, so far`].map((each, at) => (each ? h("th", { scope: "col", class: at === 3 ? "n" : "" }, each) : h("td", {}))))), h("tbody", {}, trials)));
    fitted.hidden = !fits.length;
    fitted.replaceChildren(...(fits.length ? [h("h3", {}, "Fits"), h("table", {}, h("tbody", {}, fits))] : []));
    more.hidden = rest <= 0;
    more.textContent = `and ${rest} more fits`;
  };
}
