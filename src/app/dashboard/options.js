// What the address asks for: `?panel=cpu,memory&range=2h&theme=dark`. Names that are not known are ignored. Keeps the
// range in the address, so that a page that is opened again shows what it showed.

import { RANGES } from "./past.js";

const asked = new URLSearchParams(location.search);

export const theme = ["dark", "light"].find((name) => name === asked.get("theme"));

export const range = Object.keys(RANGES).find((name) => name === asked.get("range")) ?? "10m";

// Which of the parts of the page are shown, by their names; null is all of them.
export function chosen(names) {
  const wanted = (asked.get("panel") ?? "").split(",").map((name) => name.trim());
  const found = names.filter((name) => wanted.includes(name));
  return found.length ? new Set(found) : null;
}

export function keepRange(name) {
  const url = new URL(location.href);
  if (name === "10m") url.searchParams.delete("range");
  else url.searchParams.set("range", name);
  history.replaceState(null, "", url);
}
