// What the browser lets us do: which sites may be seen, and the content script in their pages.

import { CONTENT_FILES, isRegistered, matchPatterns, originPatterns, registration } from "./sites.js";

export class Access {
  #browser;
  /** The sites that the browser gives access to. */
  sites = [];
  downloads = false;

  constructor(browser) {
    this.#browser = browser;
  }

  /** See which of these sites, and whether downloads, are allowed now. */
  async look(sites) {
    const granted = await Promise.all(sites.map((site) => this.#browser.hasOrigins(originPatterns([site]))));
    this.sites = sites.filter((_, index) => granted[index]);
    this.downloads = await this.#browser.hasDownloads();
  }

  /** Keep the content script in the pages of the allowed sites, or nowhere. */
  async register(context_path, anywhere) {
    const wanted = anywhere && this.sites.length > 0 ? registration(this.sites, context_path, CONTENT_FILES) : null;
    const held = await this.#browser.registered();
    if (wanted ? isRegistered(wanted, held) : held.length === 0) return;
    if (held.length > 0) await this.#browser.unregister(held.map((script) => script.id));
    if (wanted) await this.#browser.register(wanted);
  }

  /** Put the content script into tabs that are open already. */
  async inject(context_path) {
    if (this.sites.length === 0) return;
    const tabs = await this.#browser.tabsOn(matchPatterns(this.sites, context_path));
    await Promise.all(tabs.map((tab) => this.#browser.inject(tab.id, CONTENT_FILES)));
  }

  /** In words for people, the sites that are not allowed although others are. */
  missing(sites) {
    if (this.sites.length === 0) return [];
    const missing = sites.filter((site) => !this.sites.includes(site));
    return missing.map((site) => ({ name: "sites", text: `No access to ${new URL(site).host}: allow it in the options` }));
  }
}
