// The first-run page: what is recorded in plain words, and the person's decision.

import { ask, find } from "./lib/pages.js";

const DECIDED = {
  "given by person": "You agreed.",
  "refused by person": "You chose not to be recorded.",
  "given by policy": "Your organisation has decided that recording is on; you can still pause it.",
  "refused by policy": "Your organisation has switched recording off.",
};

function show({ consent, settings }) {
  if (settings.sites.length > 0) find("sites").textContent = settings.sites.map((site) => new URL(site).host).join(", ");
  if (settings.sidecar_url) find("sidecar").textContent = new URL(settings.sidecar_url).host;
  find("labelled").hidden = !settings.traceparent;
  find("decided").textContent = DECIDED[`${consent.decision} by ${consent.by}`] ?? "";
  find("choice").hidden = consent.by === "policy";
  for (const button of find("choice").querySelectorAll("button")) button.disabled = button.value === consent.decision;
}

async function tell(message) {
  try {
    show(await ask(message));
  } catch (error) {
    find("decided").textContent = error.message;
  }
}

for (const button of find("choice").querySelectorAll("button")) {
  button.addEventListener("click", () => tell({ type: "consent", decision: button.value }));
}
await tell({ type: "overview" });
