// The options' part for recording a scenario: start, stop, save as a file.

import { ask, element, find, plural, showState } from "./lib/pages.js";

let file = null;

/** Show what the background has of a scenario; `locked`: the organisation decides whether there may be one. */
export function showScenario({ allowed, on, name, gestures, actions, file: made, notes }, locked) {
  const idle = on === undefined;
  find("scenario").hidden = !allowed && (idle || locked);
  file = made;
  find("scenario-names").hidden = !idle;
  find("scenario-start").hidden = !idle || !allowed;
  find("scenario-stop").hidden = !on;
  find("scenario-save").hidden = !made;
  find("scenario-discard").hidden = idle;
  find("scenario-notes").replaceChildren(...notes.map((note) => element("li", {}, note)));
  if (idle) return;
  const so_far = `${plural(gestures, "gesture", "gestures")}, ${plural(actions, "action", "actions")}`;
  find("scenario-told").textContent = on
    ? `“${name}” so far: ${so_far}.`
    : made
      ? `“${name}” is complete: ${so_far}, ${plural(made.steps.length, "step", "steps")}.`
      : `“${name}” holds nothing: nothing was done in a page of the site.`;
}

async function tell(message) {
  try {
    const overview = await ask(message);
    find("scenario-told").textContent = "";
    showState(overview);
    showScenario(overview.scenario, overview.locked.includes("recorder"));
  } catch (error) {
    find("scenario-told").textContent = error.message;
  }
}

function save() {
  const text = `${JSON.stringify(file, null, 2)}\n`;
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: `${file.scenario}.json` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

find("scenario-start").addEventListener("click", () => tell({ type: "scenario_start", name: find("scenario-name").value.trim(), role: find("scenario-role").value.trim() }));
find("scenario-stop").addEventListener("click", () => tell({ type: "scenario_stop" }));
find("scenario-discard").addEventListener("click", () => tell({ type: "scenario_discard" }));
find("scenario-save").addEventListener("click", save);
