// The server's answers. Addresses are relative, so the page works below any path.

export async function ask(name, query = {}) {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  const answer = await fetch(`api/${name}?${new URLSearchParams(pairs)}`, { cache: "no-store" });
  return read(answer);
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
