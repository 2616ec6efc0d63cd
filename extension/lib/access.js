// What the browser lets us do: which sites may be seen, and the content script in their pages.

import { CONTENT_FILES, isRegistered, matchPatterns, originPatterns, registration } from "./sites.js";

/** In the site's pages only while somebody records a scenario. */
export const SCENARIO_SCRIPT = Object.freeze({
  id: "tracemark-scenario",
  js: ["lib/browser.js", "lib/locators.js", "scenario_recorder.js"],
  allFrames: false,
  matchOriginAsFallback: false,
  persistAcrossSessions: false,
});

export class Access {
  #browser;
  /** The sites that the browser gives access to. */
  sites = [];
  downloads = false;
  requests = false;

  constructor(browser) {
    this.#browser = browser;
  }

  /** See which of these sites, and whether downloads and requests, are allowed now. */
  async look(sites) {
    const granted = await Promise.all(sites.map((site) => this.#browser.hasOrigins(originPatterns([site]))));
    this.sites = sites.filter((_, index) => granted[index]);
    this.downloads = await this.#browser.hasDownloads();
    this.requests = await this.#browser.hasRequests();
  }

  /** Keep the content script in the pages of the allowed sites, or nowhere; and beside it, while one is made, the scenario's. */
  async register(context_path, anywhere, scenario) {
    const wanted = anywhere && this.sites.length > 0 ? [registration(this.sites, context_path, CONTENT_FILES)] : [];
    if (wanted.length > 0 && scenario) wanted.push({ ...wanted[0], ...SCENARIO_SCRIPT });
    const held = await this.#browser.registered();
    if (wanted.length === held.length && wanted.every((script) => isRegistered(script, held))) return;
    if (held.length > 0) await this.#browser.unregister(held.map((script) => script.id));
    for (const script of wanted) await this.#browser.register(script);
  }

  /** Put the content script into tabs that are open already. */
  inject(context_path) {
    return this.#inject(context_path, (tab) => this.#browser.inject(tab, CONTENT_FILES));
  }

  /** The same for the scenario's script, in each tab's own document alone. */
  injectScenario(context_path) {
    return this.#inject(context_path, (tab) => this.#browser.injectTop(tab, SCENARIO_SCRIPT.js));
  }

  async #inject(context_path, into) {
    if (this.sites.length === 0) return;
    const tabs = await this.#browser.tabsOn(matchPatterns(this.sites, context_path));
    await Promise.all(tabs.map((tab) => into(tab.id)));
  }

  /** In words for people, the sites that are not allowed although others are. */
  missing(sites) {
    if (this.sites.length === 0) return [];
    const missing = sites.filter((site) => !this.sites.includes(site));
    return missing.map((site) => ({ name: "sites", text: `No access to ${new URL(site).host}: allow it in the options` }));
  }
}
