// The bridge's REST endpoints. What is refused becomes an Error with the refusal's own words.
const API = "api/v1/";

async function answer(response) {
  const body = await response.json().catch(() => ({}));
  if (!response.ok && response.headers.get("content-type")?.includes("problem")) {
    throw Object.assign(new Error(body.detail || body.title), { problem: body });
  }
  if (!response.ok && response.status !== 503) throw new Error(`the bridge answered ${response.status}`);
  return body;
}

const away = () => { throw new Error("the bridge is away: nothing was sent"); };

export const get = (path, query = {}) =>
  fetch(`${API}${path}?${new URLSearchParams(query)}`).catch(away).then(answer);

export const post = (path, body) =>
  fetch(API + path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })
    .catch(away).then(answer);

export const streamOf = (query) => new EventSource(`${API}stream?${new URLSearchParams(query)}`);
