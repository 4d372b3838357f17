// Requests to the REST API; every failure is a Problem that says what failed.

const TIMEOUT_MS = 20_000;

/** A failed request, as application/problem+json says it or as the browser saw it. */
export class Problem extends Error {
  constructor({ title, status = 0, detail = "", errors = [], retryAfter = null }) {
    super(detail || title);
    Object.assign(this, { title, status, detail, errors, retryAfter });
  }
}

/** Return a key that makes a repeated POST the same POST; works outside secure contexts too. */
export function idempotencyKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Send a request and return its JSON; statuses in `also` are answers, not failures. */
export async function request(method, path, { body, key, also = [] } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const answer = await answered(method, path, { method, headers, body: sent });
  if (answer.ok || also.includes(answer.status)) return answer.status === 204 ? null : answer.json();
  throw await problemOf(answer, method, path);
}

export const get = (path, options) => request("GET", path, options);

async function answered(method, path, options) {
  try {
    return await fetch(path, { ...options, signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store" });
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new Problem({
      title: late ? "No answer in time" : "The server does not answer",
      detail: `${method} ${path} ${late ? `took longer than ${TIMEOUT_MS / 1000} s` : "could not be sent"}`,
    });
  }
}

async function problemOf(answer, method, path) {
  // The browser asks for the key again when the page itself is refused.
  if (answer.status === 401) location.reload();
  const said = await answer.json().catch(() => ({}));
  return new Problem({
    title: said.title || answer.statusText || `Status ${answer.status}`,
    status: answer.status,
    detail: typeof said.detail === "string" ? said.detail : `${method} ${path}`,
    errors: Array.isArray(said.errors) ? said.errors : [],
    retryAfter: answer.headers.get("Retry-After"),
  });
}
