// Recording scenarios: who may, when it begins and ends, and that it outlives the background. What is recorded is lib/scenario_session.js.

import { siteOf } from "./sites.js";
import { scenarioOf } from "./scenario_file.js";
import { ScenarioSession } from "./scenario_session.js";

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

export class Scenarios {
  #ports;
  #session = new ScenarioSession();

  /** `ports`: browser, access, settings, wall_ms(), later(what) (in the one queue), recording(), changed(). */
  constructor(ports) {
    this.#ports = ports;
  }

  get on() {
    return this.#session.on;
  }

  restore(saved) {
    this.#session.restore(saved);
  }

  /** A page's script connects; it is heard when it is the document of a tab on a site. */
  connected(port) {
    const { later, settings, access, wall_ms } = this.#ports;
    const isOurs = () => port.sender?.frameId === 0 && access.sites.includes(siteOf(port.sender, settings.config.sites));
    later(() => this.#session.joined(isOurs() ? port : { postMessage: () => undefined }, settings.config.context_path));
    port.onMessage.addListener((message) =>
      later(async () => {
        if (!isOurs()) return;
        this.#session.heard(port.sender.tab, message, wall_ms());
        await this.#save();
      }),
    );
    port.onDisconnect.addListener(() => this.#session.left(port));
  }

  /** An action of this tab began or is over; kept with the next save, or by itself. */
  noted(tab, item) {
    if (!this.on) return;
    this.#session.noted(tab, item);
    this.#save();
  }

  /** With the recording of actions the recording of scenarios ends, too. */
  async follow() {
    if (this.on && !(this.#ports.recording() && this.#ports.settings.config.recorder)) await this.stop();
  }

  /** Begin, in the tabs that are open and in those to come; raises Error with words for people. */
  async start({ name, role }) {
    const { settings, access, wall_ms, recording, changed } = this.#ports;
    if (!settings.config.recorder) throw new Error("Recording scenarios is not switched on.");
    if (!recording()) throw new Error("Nothing is recorded now: see above.");
    for (const word of [name, role]) if (!NAME.test(word ?? "")) throw new Error("Use letters, digits, _ . - for name and role.");
    this.#session.start(name, role, wall_ms());
    await this.#save();
    await changed();
    await access.injectScenario(settings.config.context_path);
  }

  async stop() {
    this.#session.stop();
    await this.#save();
    await this.#ports.changed();
  }

  async discard() {
    this.#session.discard();
    await this.#save();
    await this.#ports.changed();
  }

  /** For the options: whether it may be done, what there is, and once it is over the file. */
  get overview() {
    const { summary } = this.#session;
    const file = summary && !summary.on && summary.gestures > 0 ? scenarioOf(this.#session.recorded) : null;
    return { allowed: this.#ports.settings.config.recorder, ...summary, file: file?.scenario ?? null, notes: file?.notes ?? [] };
  }

  #save() {
    return this.#ports.browser.writeSession({ scenario: this.#session.toJSON() });
  }
}
