// The options: what a person may set where the organisation's policy does not, and the browser's permission for the site.

import { originPatterns } from "./lib/sites.js";
import { ask, element, find, say, sayEach, showState } from "./lib/pages.js";
import { showScenario } from "./scenario.js";

const REFRESH_MS = 2000;
const { browser } = globalThis.tracemark;
const READ = {
  sites: () => find("sites").value.split(/[\s,]+/).filter(Boolean).map((site) => site.replace(/\/+$/, "")),
  context_path: () => find("context_path").value.trim(),
  sidecar_url: () => find("sidecar_url").value.trim(),
  auth: () => find("auth").value,
  token: () => find("token").value,
  rating: () => find("rating").checked,
  recorder: () => find("recorder").checked,
};
let locked = [];

function field(name) {
  return document.querySelector(`[data-name="${name}"]`);
}

/** A line below a setting, read out with it; no text takes it away. */
function note(name, kind, text) {
  const old = field(name).querySelector(`.${kind}`);
  if ((old?.textContent ?? "") === text) return;
  old?.remove();
  if (text) field(name).append(element("div", { class: kind }, text));
  if (kind === "fault") find(name).setAttribute("aria-invalid", text !== "");
  describe(field(name));
}

/** Let what stands below a setting be read out with it. */
function describe(one) {
  const lines = [...one.querySelectorAll("small, .locked, .fault")];
  for (const [place, line] of lines.entries()) line.id ||= `${one.dataset.name}-${line.className || "hint"}-${place}`;
  one.querySelector("input, select").setAttribute("aria-describedby", lines.map((line) => line.id).join(" "));
}

function fill({ settings, has_token }) {
  find("sites").value = settings.sites.join(" ");
  for (const name of ["context_path", "sidecar_url", "auth"]) find(name).value = settings[name];
  find("rating").checked = settings.rating;
  find("recorder").checked = settings.recorder;
  find("token").placeholder = has_token ? "kept: type to replace it" : "";
}

function accessLine([site, granted]) {
  const { host } = new URL(site);
  if (granted) return element("li", {}, element("code", {}, host), element("span", { class: "yes end" }, "access allowed"));
  const allow = element("button", { type: "button", class: "end", "aria-label": `Allow access to ${host}` }, "Allow access");
  allow.addEventListener("click", () => browser.requestOrigins(originPatterns([site])).then(refresh));
  return element("li", {}, element("code", {}, host), element("span", { class: "no" }, "no access yet"), allow);
}

async function showAccess(sites) {
  const granted = await Promise.all(sites.map((site) => browser.hasOrigins(originPatterns([site]))));
  sayEach("access", sites.map((site, place) => [site, granted[place]]), accessLine);
}

function show(overview) {
  showState(overview);
  say("version", overview.version);
  locked = overview.locked;
  for (const name of Object.keys(READ)) {
    const isLocked = locked.includes(name);
    find(name).disabled = isLocked;
    note(name, "locked", isLocked ? "Decided by your organisation." : "");
  }
  find("token-field").hidden = find("auth").value === "ticket";
  find("downloads").checked = overview.downloads;
  find("requests").checked = overview.requests;
  find("traceparent").checked = overview.settings.traceparent;
  showScenario(overview.scenario, locked.includes("recorder"));
  return showAccess(overview.settings.sites);
}

async function refresh() {
  try {
    const overview = await ask({ type: "overview" });
    await show(overview);
    return overview;
  } catch (error) {
    showState({ state: "failed", headline: "No answer", todo: error.message });
    return null;
  }
}

async function save(event) {
  event.preventDefault();
  const settings = Object.fromEntries(Object.entries(READ).filter(([name]) => !locked.includes(name)).map(([name, read]) => [name, read()]));
  if (settings.token === "") delete settings.token;
  // The question for the permission must come straight from the click; unfit sites are told by the answer below.
  const sites = (settings.sites ?? []).filter((site) => /^https?:\/\/[^/]+$/.test(site) && URL.canParse(site));
  if (sites.length > 0) await browser.requestOrigins(originPatterns(sites)).catch(() => false);
  for (const name of Object.keys(READ)) note(name, "fault", "");
  say("saved", "");
  try {
    const overview = await ask({ type: "save", settings });
    for (const [name, text] of Object.entries(overview.rejected ?? {})) note(name, "fault", `This ${text}.`);
    say("saved", overview.rejected ? "Not saved: correct what is named above." : "Saved.");
    if (!overview.rejected) {
      find("token").value = "";
      fill(overview);
    }
    await show(overview);
  } catch (error) {
    say("saved", error.message);
  }
}

find("settings").addEventListener("submit", save);
find("auth").addEventListener("change", () => (find("token-field").hidden = find("auth").value === "ticket"));
find("downloads").addEventListener("change", async () => {
  await (find("downloads").checked ? browser.requestDownloads() : browser.removeDownloads());
  await refresh();
});

find("requests").addEventListener("change", async () => {
  await (find("requests").checked ? browser.requestRequests() : browser.removeRequests());
  await refresh();
});

for (const one of document.querySelectorAll("[data-name]")) describe(one);
const first = await refresh();
if (first) {
  fill(first);
  await show(first);
}
setInterval(refresh, REFRESH_MS);
