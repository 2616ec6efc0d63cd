// Loads the page side's classic scripts into a world of their own and gives what they export.
import { readFileSync } from "node:fs";
import vm from "node:vm";
import { pageRules } from "../../../extension/lib/page_rules.js";

const ROOT = new URL("../../../", import.meta.url);
const FILES = ["rules", "evidence", "viewer", "endings", "tagger", "port"];

export const catalogue = JSON.parse(readFileSync(new URL("sidecar/model/catalogue.json", ROOT), "utf8")).actions.map(({ name, dom }) => ({ name, dom }));

export const rules = (actions = catalogue) => structuredClone(pageRules({ version: 1, actions }));

export function load(globals = {}) {
  const context = vm.createContext({ URL, structuredClone, ...globals });
  for (const name of FILES) vm.runInContext(readFileSync(new URL(`extension/lib/${name}.js`, ROOT), "utf8"), context, { filename: `${name}.js` });
  return context.tracemark;
}

/** Runs content.js as well, with the globals that it needs. */
export function loadPage(globals) {
  const context = vm.createContext({ URL, ...globals });
  for (const name of FILES.map((one) => `lib/${one}`)) vm.runInContext(readFileSync(new URL(`extension/${name}.js`, ROOT), "utf8"), context, { filename: name });
  context.tracemark.browser = globals.browser;
  vm.runInContext(readFileSync(new URL("extension/content.js", ROOT), "utf8"), context, { filename: "content.js" });
  return context.tracemark;
}

export const readText = (name) => readFileSync(new URL(name, import.meta.url), "utf8");
