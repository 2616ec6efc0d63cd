// What is seen of the extension, as it should be now: the badge and the words for it, the label on the site's requests, and what wakes
// the background again.

import { Face } from "./face.js";
import { status } from "./status.js";
import { Labels } from "./traceparent.js";

export class Presence {
  #parts;
  #face;
  #labels;
  /** The status as it was last shown. */
  now = null;

  /** `parts`: browser, settings, access, recorder, outbox, link, pages, scenarios. */
  constructor(parts) {
    this.#parts = parts;
    this.#face = new Face(parts.browser);
    this.#labels = new Labels(parts.browser);
  }

  /** A tab went to another page. */
  renew(tab) {
    this.#face.renew(tab);
  }

  /** `fault`: why nothing works, or ""; `sampled`: whether this session is one that is recorded. */
  async show({ fault, sampled }) {
    const { settings, access, recorder, outbox, link, scenarios } = this.#parts;
    const { config, consent, paused, pause, faults, isConfigured } = settings;
    const { tabs } = this.#parts.pages;
    link.follow(recorder.session?.id ?? null, tabs.length > 0 && recorder.recording);
    this.now = status({
      config,
      consent,
      paused,
      pause,
      configured: isConfigured,
      permitted: access.sites.length > 0,
      sampled,
      faults: [...faults, ...access.missing(config.sites)],
      fault,
      link,
      storage_full: recorder.storage_full,
      scenario: scenarios.on,
      tabs: tabs.length,
      rating_due: recorder.ratingDue(config.rating),
    });
    await this.#labels.follow(this.#labelled(), access.sites, config.context_path);
    await this.#face.show(this.now, tabs);
    await this.#face.wakeAt(paused ? pause.until_ms : null, outbox.totals.count > 0);
  }

  /** The session that the site's requests are labelled with: only what the sidecar knows too, and nobody's after signing out. */
  #labelled() {
    const { recorder, settings, outbox } = this.#parts;
    if (!settings.config.traceparent || !recorder.recording || recorder.signed_out) return null;
    const { id } = recorder.session;
    return settings.config.auth === "token" || outbox.ticket(id) ? id : null;
  }
}
