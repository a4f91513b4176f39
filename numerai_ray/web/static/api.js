// The server's answers. Addresses are relative, so the page works below any path.

// Answers by address with their tags, so that what has not changed is not sent again; in this page alone, not on disk.
const held = new Map(), MOST_HELD = 40;

export async function ask(name, query = {}) {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  const address = `api/${name}?${new URLSearchParams(pairs)}`, before = held.get(address);
  const answer = await fetch(address, { cache: "no-store", headers: before ? { "If-None-Match": before.tag } : {} });
  const value = answer.status === 304 ? before.value : await read(answer);
  const tag = answer.status === 304 ? before.tag : answer.headers.get("ETag");
  held.delete(address);
  if (tag) held.set(address, { tag, value });  // at the end: what was asked for last is let go last
  if (held.size > MOST_HELD) held.delete(held.keys().next().value);
  return value;
}

export async function askCompared(chosen) {
  const query = new URLSearchParams();
  for (const [key, id] of chosen) {
    query.append("exp", key);
    query.append("id", id);
  }
  return read(await fetch(`api/compare?${query}`, { cache: "no-store" }));
}

async function read(answer) {
  const value = await answer.json().catch(() => ({ error: `the server answers ${answer.status}` }));
  if (!answer.ok) throw new Error(value.error ?? `the server answers ${answer.status}`);
  return value;
}

// One line for the page's whole life; it comes back by itself when the server does.
export function listen(onEvent, onLine) {
  const source = new EventSource("api/events");
  let lost = false;
  source.onopen = () => { onLine(true, lost); lost = false; };
  source.onerror = () => { lost = true; onLine(false, false); };
  source.onmessage = (message) => onEvent(JSON.parse(message.data));
}
