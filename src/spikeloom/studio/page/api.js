// Requests to the server of this page. Each carries the token; the token stays in this tab.

const KEY = "spikeloom-token";

/** The answer to a failed request, with the message of the server. */
export class StudioError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Move a token from the address bar into the storage of this tab. Return the other fields of the fragment. */
export function takeToken() {
  const fields = new URLSearchParams(location.hash.slice(1));
  const token = fields.get("token");
  if (token) {
    sessionStorage.setItem(KEY, token);
    fields.delete("token");
    const otherFields = fields.toString();
    history.replaceState(null, "", location.pathname + (otherFields ? `#${otherFields}` : ""));
  }
  return fields;
}

/** Store a token that was pasted, alone or with the address. */
export function keepToken(text) {
  const match = /token=([^&\s]+)/.exec(text);
  sessionStorage.setItem(KEY, match ? match[1] : text.trim());
}

/** Return the stored token, or null. */
export const token = () => sessionStorage.getItem(KEY);

/** Delete the stored token. */
export const forgetToken = () => sessionStorage.removeItem(KEY);

/** Send a request with the token, and return the response. Raise a `StudioError` if the request fails. */
async function send(path, body, signal) {
  const options = { signal, headers: { Authorization: `Bearer ${token()}` }, cache: "no-store" };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new StudioError("The studio does not answer. Start it again with `spikeloom studio RUN` and open the printed address.", 0);
  }
  if (response.ok) return response;
  let text = `The studio answered with status ${response.status}.`;
  try {
    text = (await response.json()).error || text;
  } catch { /* the answer has no message */ }
  if (response.status === 401) dispatchEvent(new Event("studio-locked"));
  throw new StudioError(text, response.status);
}

/** Return the JSON of an address. With a body, the request is a POST. */
export async function request(path, body, signal) {
  return (await send(path, body, signal)).json();
}

/** Return a file as a blob, and the name that the server gives it. */
export async function requestFile(path, body, fallback) {
  const response = await send(path, body);
  const match = /filename="?([^";]+)"?/.exec(response.headers.get("Content-Disposition") || "");
  return { blob: await response.blob(), name: match ? match[1] : fallback };
}

/** Save a blob with the browser's downloads. */
export function saveFile(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const STOP_AFTER = 3000; // ms after which a replaced request is stopped

/** Runs requests of one kind. A new request replaces the previous one, whose answer is ignored. */
export class Latest {
  #controller = null;

  /** Ignore the answer of the running request. The request is stopped later, because a short one ends sooner by itself. */
  cancel() {
    const controller = this.#controller;
    if (controller) setTimeout(() => controller.abort(), STOP_AFTER);
    this.#controller = null;
  }

  /** Return the answer, or null if a later request replaced this one. */
  async run(path, body) {
    this.cancel();
    const controller = new AbortController();
    this.#controller = controller;
    try {
      const answer = await request(path, body, controller.signal);
      return this.#controller === controller ? answer : null;
    } catch (error) {
      if (this.#controller !== controller) return null;
      throw error;
    }
  }
}
