// The popup: the truth about now, pauses, and everything that was sent, for the person to look at.

import { ask, bytes, element, find, handOn, loadCatalogue, milliseconds, plural, say, showState, timeOfDay } from "./lib/pages.js";

const REFRESH_MS = 1000;
const { browser } = globalThis.tracemark;
const catalogue = await loadCatalogue();
/** The text of an item that is shown -> its line. */
let lines = new Map();

function name(item) {
  if (item.type === "rating") return { label: `RATING ${item.score}`, colour: "transparent", phase: "" };
  const action = catalogue.get(item.action);
  return { label: action?.label ?? item.action, colour: action?.colour ?? "transparent", phase: item.phase };
}

function line(item) {
  const { label, colour, phase } = name(item);
  const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.background = colour;
  return element(
    "li",
    {},
    element(
      "details",
      {},
      element("summary", {}, element("time", {}, timeOfDay(item.wall_ns ?? item.time_ns)), swatch, element("span", {}, label), element("span", { class: "phase" }, phase)),
      element("pre", {}, JSON.stringify(item)),
    ),
  );
}

/** The newest first; a line that is there already stays, so that one that is open, or has the focus, keeps that. */
function showRecent(items) {
  say("count", String(items.length || 50));
  const texts = items.length > 0 ? items.map((item) => JSON.stringify(item)).reverse() : [""];
  const none = () => element("li", { class: "none" }, "Nothing was sent since the browser started.");
  const now = new Map(texts.map((text) => [text, lines.get(text) ?? (text === "" ? none() : line(JSON.parse(text)))]));
  for (const [text, old] of lines) if (!now.has(text)) old.remove();
  let place = find("recent").firstElementChild;
  for (const one of now.values()) {
    if (one === place) place = place.nextElementSibling;
    else find("recent").insertBefore(one, place);
  }
  lines = now;
}

function show(overview) {
  const { state, consent, unsent, clock, link, page_counts } = overview;
  showState(overview);
  say("version", overview.version);
  find("score").hidden = state !== "rating";
  find("decide").hidden = state !== "consent" && !(state === "off" && consent.by === "person");
  say("decide", state === "consent" ? "Read and decide" : "Decide anew");
  find("set-up").hidden = !["not_configured", "no_permission", "refused", "scenario"].includes(state);
  find("again").hidden = !["not_connected", "refused"].includes(state);
  find("remedies").hidden = [...find("remedies").children].every((one) => one.hidden);
  find("pausing").hidden = !overview.recording && overview.pause === null;
  find("pause").hidden = overview.pause !== null;
  find("paused").hidden = overview.pause === null;
  const role = link.role ? ` in the role ${link.role}` : "";
  say("session", overview.session ? `This sitting is known to the sidecar as ${overview.session.slice(0, 8)}…${role}, a number drawn by chance.` : "");
  find("labelled").hidden = !overview.settings.traceparent;
  const waiting = `${plural(unsent.count, "marker", "markers")} not yet sent (${bytes(unsent.bytes)}).`;
  say("unsent", unsent.count === 0 ? "Nothing is waiting to be sent." : waiting);
  find("delete").hidden = unsent.count === 0;
  const lost = [
    unsent.dropped > 0 && `${plural(unsent.dropped, "marker was", "markers were")} dropped because too many waited, too long, or without room on the disk.`,
    unsent.deleted > 0 && `${plural(unsent.deleted, "marker was", "markers were")} deleted by you.`,
    page_counts.dropped > 0 && `${plural(page_counts.dropped, "gesture was", "gestures were")} dropped by a page that was too busy.`,
    page_counts.bad_rules > 0 && "A rule for this site is not understood: tell whoever set up Tracemark.",
    page_counts.errors > 0 && "Recording stopped in a page after an error there: load the page again.",
    overview.left_out > 0 && `${plural(overview.left_out, "detail was", "details were")} held back because only what is listed above may leave.`,
    overview.refused > 0 && `${plural(overview.refused, "marker was", "markers were")} refused by the sidecar.`,
  ].filter(Boolean);
  find("dropped").hidden = lost.length === 0;
  say("dropped", lost.join(" "));
  find("clock").hidden = clock === null;
  if (clock) say("clock", `The sidecar's clock is ${milliseconds(clock.offset_ms)} from this computer's, ± ${milliseconds(clock.error_ms)}.`);
  showRecent(overview.recent);
}

async function tell(message) {
  try {
    show(await ask(message));
  } catch (error) {
    showState({ state: "failed", headline: "No answer", todo: error.message });
  }
}

function press(button, message) {
  button.addEventListener("click", async () => {
    await tell(message);
    handOn(button, "main button, main summary");
  });
}
press(find("resume"), { type: "resume" });
press(find("delete"), { type: "delete" });
press(find("again"), { type: "again" });
for (const button of find("pause").querySelectorAll("button")) press(button, { type: "pause", how: button.value });
for (const button of find("score").querySelectorAll("button")) {
  press(button, { type: "rate", score: button.value === "" ? null : Number(button.value) });
}
find("decide").addEventListener("click", () => browser.openTab("consent.html"));
find("set-up").addEventListener("click", () => browser.openTab("options.html"));

await tell({ type: "overview" });
setInterval(() => tell({ type: "overview" }), REFRESH_MS);
