// Elements made without markup: every text becomes a text node, so nothing that a file holds is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, each] of Object.entries(value)) node.style.setProperty(key, each);
    else if (name === "value" || name === "checked" || name === "disabled") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(3).filter((each) => each !== null && each !== undefined && each !== false));
  return node;
}

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// The children of `host`, which may be lists of them.
export const put = (host, ...children) => {
  host.replaceChildren();
  return fill(host, {}, children);
};

let counter = 0;
export const newId = (stem) => `${stem}-${(counter += 1)}`;

export const known = (value) => typeof value === "number" && Number.isFinite(value);
export const fixed = (value, digits = 5) => (known(value) ? value.toFixed(digits) : "–");
// "+2.1e-4", as the command line writes differences: what rounds to zero has no sign.
export const e4 = (value) => {
  if (!known(value)) return "–";
  const size = Math.abs(value * 1e4).toFixed(1);
  return `${size === "0.0" ? "" : value > 0 ? "+" : "-"}${size}e-4`;
};
export const interval = (low, high) => (known(low) && known(high) ? `[${e4(low)}, ${e4(high)}]` : "");
export const cut = (text, most = 80) => (String(text).length > most ? `${String(text).slice(0, most)}…` : String(text));

export function duration(seconds) {
  if (!known(seconds)) return "–";
  const all = Math.round(seconds), hours = Math.floor(all / 3600), minutes = Math.floor((all % 3600) / 60);
  if (hours) return `${hours} h ${String(minutes).padStart(2, "0")} min`;
  return minutes ? `${minutes} min ${String(all % 60).padStart(2, "0")} s` : `${all} s`;
}

export function age(then) {
  if (!known(then)) return "–";
  const seconds = Math.max(0, Date.now() / 1000 - then);
  for (const [size, name] of [[86400, "d"], [3600, "h"], [60, "min"]])
    if (seconds >= size) return `${Math.floor(seconds / size)} ${name}`;
  return "now";
}

export const shown = (value) =>
  value === null || value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value);

const SIGNS = { running: "▶", finished: "✓", stopped: "❚❚", damaged: "!", "not started": "○", gone: "×" };
export const badge = (state) =>
  h("span", { class: `badge ${String(state).split(" ")[0]}` }, `${SIGNS[state] ?? "?"} ${state}`);

export const facts = (pairs) =>
  h("dl", { class: "facts" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

export const bar = (share, label) => {
  const percent = Math.max(0, Math.min(100, 100 * share));
  const inside = h("span", { style: { width: `${percent.toFixed(1)}%` } });
  return h("div", { class: "bar", role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100,
    "aria-valuenow": Math.round(percent) }, inside);
};

// One tooltip for the whole page; it repeats what the focused or hovered element is labelled with.
const tip = document.getElementById("tip");
export function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 6))}px`;
  tip.style.top = `${Math.max(4, Math.min(y + 14, innerHeight - box.height - 6))}px`;
}
export const hideTip = () => { tip.hidden = true; };
export function tipped(node, text) {
  node.addEventListener("pointerenter", (event) => showTip(text, event.clientX, event.clientY));
  node.addEventListener("pointerleave", hideTip);
  node.addEventListener("focus", () => {
    const box = node.getBoundingClientRect();
    showTip(text, box.right, box.top);
  });
  node.addEventListener("blur", hideTip);
  return node;
}
