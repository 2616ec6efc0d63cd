// The documents that are connected now: one per frame, with its port, its tab and its site.

import { siteOf } from "./sites.js";
import { Skew } from "./timelines.js";

export class Documents {
  #open = new Map();

  add(port) {
    const { tab, frameId } = port.sender ?? {};
    const page = { port, tab: tab?.id, opener: tab?.openerTabId, frame: frameId, site: undefined, heard: false, skew: new Skew() };
    this.#open.set(port, page);
    return page;
  }

  remove(page) {
    this.#open.delete(page.port);
  }

  get size() {
    return this.#open.size;
  }

  /** Those that are on a site. */
  get live() {
    return [...this.#open.values()].filter((page) => page.site !== undefined);
  }

  get tabs() {
    return [...new Set(this.live.map((page) => page.tab))];
  }

  /** A document in which the site can be asked something. */
  get top() {
    return this.live.find((page) => page.frame === 0);
  }

  /**
   * Tell every document its state; one that was on a site that is none any more is told to stop. A document that has not been heard
   * yet is answered in its turn: what the one before it in its tab has begun may still be on its way.
   */
  tell(sites, stateOf) {
    for (const page of this.#open.values()) {
      page.site = siteOf(page.port.sender, sites) ?? page.site;
      if (page.site !== undefined && page.heard) this.post(page, stateOf(page));
    }
  }

  post(page, message) {
    try {
      page.port.postMessage(message);
    } catch {
      this.remove(page); // gone, and the news of it is on its way
    }
  }
}
