// What the documents of the sites say, and what they are told: whether they are recorded, by which rules, and what others have begun.

import { siteOf } from "./sites.js";

export class Visits {
  #parts;
  #told = "";

  /**
   * `parts`: browser, pages (the documents that are connected), settings, access, recorder, link, presence, later(what) (in turn),
   * sit() (there is a session), show() (what is seen of us).
   */
  constructor(parts) {
    this.#parts = parts;
  }

  /** A document is there. */
  connected(port) {
    const { pages, later, show } = this.#parts;
    const page = pages.add(port);
    port.onMessage.addListener((message) => later(() => this.#heard(page, message)));
    port.onDisconnect.addListener(() => {
      pages.remove(page);
      later(show);
    });
  }

  /** Tell all documents when something changed for them. */
  tell() {
    const { pages, settings, access, recorder } = this.#parts;
    const { config, rules } = settings;
    const told = JSON.stringify([recorder.recording, access.sites, config.context_path, rules, access.downloads]);
    if (told === this.#told) return;
    this.#told = told;
    pages.tell(config.sites, (page) => this.#state(page));
  }

  async #heard(page, message) {
    const { pages, access, recorder, sit, show } = this.#parts;
    switch (message?.type) {
      case "hello":
      case "open":
        this.#greet(page, message);
        await show();
        break;
      case "items":
        await sit();
        if (page.site) await recorder.take(page, message);
        if (message.batch !== undefined) pages.post(page, { type: "stored", batch: message.batch });
        await show();
        break;
      case "await_download":
        if (page.site && (access.downloads || access.requests)) await recorder.awaitDownload(page, message.action_id);
        break;
    }
  }

  #greet(page, message) {
    const { browser, pages, settings, link, presence } = this.#parts;
    page.site = siteOf(page.port.sender, settings.config.sites);
    page.tab ??= Number.isInteger(message.tab) ? message.tab : undefined; // Firefox does not say whose a document is that is being left
    page.heard = true;
    presence.renew(page.tab);
    if (!page.site) return;
    if (message.top && settings.asksNow()) browser.openTab("consent.html");
    if (link.trouble?.code === "no_ticket") link.again();
    pages.post(page, this.#state(page));
  }

  #state(page) {
    const { settings, access, recorder } = this.#parts;
    const recording = recorder.recording && access.sites.includes(page.site);
    const { context_path } = settings.config;
    if (!recording) return { type: "state", recording, context_path, open: [], downloads: false };
    const { tab } = page;
    return { type: "state", recording, tab, context_path, rules: settings.page_rules, open: recorder.openFor(page), downloads: access.downloads };
  }
}
