// The options' part for recording a scenario: start, stop, save as a file.

import { ask, element, find, handOn, plural, say, sayEach, showState } from "./lib/pages.js";

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
  sayEach("scenario-notes", notes);
  if (idle) return;
  const so_far = `${plural(gestures, "gesture", "gestures")}, ${plural(actions, "action", "actions")}`;
  say(
    "scenario-told",
    on
      ? `“${name}” so far: ${so_far}.`
      : made
        ? `“${name}” is complete: ${so_far}, ${plural(made.steps.length, "step", "steps")}.`
        : `“${name}” holds nothing: nothing was done in a page of the site.`,
  );
}

async function tell(message) {
  try {
    const overview = await ask(message);
    say("scenario-told", "");
    showState(overview);
    showScenario(overview.scenario, overview.locked.includes("recorder"));
  } catch (error) {
    say("scenario-told", error.message);
  }
}

function save() {
  const text = `${JSON.stringify(file, null, 2)}\n`;
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: `${file.scenario}.json` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function press(id, message) {
  find(id).addEventListener("click", async () => {
    await tell(message());
    handOn(find(id), "#scenario button");
  });
}

press("scenario-start", () => ({ type: "scenario_start", name: find("scenario-name").value.trim(), role: find("scenario-role").value.trim() }));
press("scenario-stop", () => ({ type: "scenario_stop" }));
press("scenario-discard", () => ({ type: "scenario_discard" }));
find("scenario-save").addEventListener("click", save);
