// What the popup, the options and the first-run page may ask for and change.

import { SETTINGS, checked } from "./config.js";
import { pauseFor } from "./consent.js";

export class Own {
  #service;
  #ports;

  constructor(service, ports) {
    this.#service = service;
    this.#ports = ports;
  }

  /** The answer to a message of one of our own pages. */
  async answer(message) {
    const service = this.#service;
    switch (message?.type) {
      case "overview":
        break;
      case "pause":
        await service.change({ pause: pauseFor(message.how, new Date(this.#ports.wall_ms())) });
        break;
      case "resume":
        await service.change({ pause: null });
        break;
      case "consent":
        if (message.decision === "refused") await service.forgetUnsent();
        await service.change({ consent: { decision: message.decision, decided_ms: this.#ports.wall_ms() } });
        break;
      case "delete":
        await service.forgetUnsent();
        break;
      case "rate":
        await service.recorder.rate(message.score);
        await service.refresh();
        break;
      case "again":
        service.link.again();
        await service.refresh();
        break;
      case "scenario_start":
        await service.scenarios.start(message);
        break;
      case "scenario_stop":
        await service.scenarios.stop();
        break;
      case "scenario_discard":
        await service.scenarios.discard();
        break;
      case "save":
        return this.#save(message.settings);
      default:
        throw new TypeError("not understood");
    }
    return this.#overview();
  }

  async #save(settings) {
    const values = { ...this.#service.settings.personal };
    const faults = {};
    for (const [name, value] of Object.entries(settings)) {
      if (this.#service.settings.locked.includes(name)) continue;
      const { value: fit, fault } = checked(name, value);
      if (fault) faults[name] = fault;
      else values[name] = fit;
    }
    if (Object.keys(faults).length > 0) return { ...this.#overview(), rejected: faults };
    await this.#service.change({ settings: values });
    this.#service.link.again();
    return this.#overview();
  }

  #overview() {
    const { now, settings, downloads, recorder, outbox, link, offset } = this.#service;
    const { config, locked, consent, pause, paused } = settings;
    const shown = SETTINGS.filter((setting) => (setting.personal || setting.name === "traceparent") && setting.name !== "token");
    return {
      ...now,
      settings: Object.fromEntries(shown.map(({ name }) => [name, config[name]])),
      has_token: config.token !== "",
      locked,
      consent,
      pause: paused ? pause : null,
      downloads: downloads ?? false,
      requests: this.#service.requests,
      recording: recorder.recording,
      unsent: outbox.totals,
      left_out: recorder.left_out,
      page_counts: recorder.page_counts,
      refused: link.refused,
      recent: recorder.recent,
      link: { state: link.state, role: link.role },
      clock: offset,
      session: recorder.session?.id ?? null,
      scenario: this.#service.scenarios.overview,
      version: this.#ports.browser.version(),
    };
  }
}
