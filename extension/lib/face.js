// The badge and the alarms: what is seen of the extension, and what wakes it, as they should be now.

import { elsewhere } from "./status.js";

export class Face {
  #browser;
  #shown = new Map();
  #alarms = "";

  constructor(browser) {
    this.#browser = browser;
  }

  /** Browsers take a tab's badge away when it goes to another page. */
  renew(tab) {
    this.#shown.delete(tab);
  }

  /** The status everywhere, and in the tabs of the sites. */
  async show(now, tabs) {
    await Promise.all([this.#badge(undefined, elsewhere(now)), ...tabs.map((tab) => this.#badge(tab, now.badge))]);
  }

  /** Wake at the end of a pause (null: none), and every minute while something waits to be delivered. */
  async wakeAt(resume_ms, waiting) {
    const wanted = JSON.stringify([resume_ms, waiting]);
    if (wanted === this.#alarms) return;
    this.#alarms = wanted;
    if (resume_ms === null) await this.#browser.clearAlarm("resume");
    else this.#browser.setAlarm("resume", { when: resume_ms });
    if (waiting) this.#browser.setAlarm("deliver", { periodInMinutes: 1 });
    else await this.#browser.clearAlarm("deliver");
  }

  async #badge(tab, badge) {
    const wanted = JSON.stringify(badge);
    if (this.#shown.get(tab) === wanted) return;
    this.#shown.set(tab, wanted);
    await this.#browser.setBadge(tab, badge);
  }
}
