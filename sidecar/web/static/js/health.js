// The sidecar about itself: a card per part, in words and numbers; colour only repeats what the word says.

import { element } from "./dom.js";
import { bytes, digits } from "./format.js";

function shown(name, value) {
  if (typeof value !== "number") return [name, String(value)];
  const words = (text) => text.replaceAll("_", " ");
  if (name.endsWith("_bytes")) return [words(name.slice(0, -6)), bytes(value)];
  if (name.endsWith("_seconds")) return [words(name.slice(0, -8)), `${digits(value)} s`];
  if (name.endsWith("_ns")) return [words(name.slice(0, -3)), `${digits(value / 1e9)} s`];
  if (name.endsWith("_percent")) return [words(name.slice(0, -8)), `${digits(value)} %`];
  if (name.endsWith("_total")) return [words(name.slice(0, -6)), value.toLocaleString("en")];
  return [words(name), Number.isInteger(value) ? value.toLocaleString("en") : digits(value)];
}

function card(part) {
  const told = Object.entries(part.numbers);
  const quiet = told.filter(([, value]) => value === 0).map(([name]) => shown(name, 0)[0]);
  const state = element("span", { class: part.ready ? "state good" : "state bad" }, part.ready ? "✓ ready" : "! not ready");
  const lines = told
    .filter(([, value]) => value !== 0)
    .map(([name, value]) => {
      const [word, text] = shown(name, value);
      return element("div", {}, element("dt", {}, word), element("dd", {}, text));
    });
  return element(
    "section",
    { class: "card", "aria-label": part.part },
    element("h3", {}, state, part.part),
    part.text && part.text !== "ready" ? element("p", {}, part.text) : null,
    lines.length ? element("dl", {}, ...lines) : null,
    quiet.length ? element("p", { class: "quiet" }, `0: ${quiet.join(", ")}`) : null,
  );
}

export function cards(answer) {
  return answer.parts.map(card);
}
