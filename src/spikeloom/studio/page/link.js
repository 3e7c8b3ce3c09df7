// The permanent link: the fragment of the address holds the model, the tab and everything that a request needs.

let written = null; // the fragment that this page wrote last

/** Return the fields of a fragment. */
export const readLink = () => new URLSearchParams(location.hash.slice(1));

/** Write fields into the fragment, leaving out those that are null. */
export function writeLink(fields) {
  const kept = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && value !== "");
  written = `#${new URLSearchParams(kept)}`;
  history.replaceState(null, "", location.pathname + written);
}

/** Call `listener(fields)` when the user opens another link in this tab. */
export function onLink(listener) {
  addEventListener("hashchange", () => {
    if (location.hash !== written) listener(readLink());
  });
}
