// What this browser is set to do and may do now: policy, package and person's choices as they are kept, and what follows from them.

import { namesOf, rulesFor } from "./catalogue.js";
import { isConfigured, resolve } from "./config.js";
import { consentOf, isPaused } from "./consent.js";
import { pageRules } from "./page_rules.js";

const KEPT = ["settings", "consent", "pause", "consent_shown", "policy"];

export class Settings {
  #ports;
  #browser;
  #catalogue = null;
  #packaged = {};
  #managed = {};
  #local = {};
  config = resolve({}).config;
  locked = [];
  faults = [];
  rules = null;
  /** The same as pages use them; the same object while nothing changes. */
  page_rules = null;
  consent = consentOf(this.config, null);
  paused = false;

  /** `ports`: browser, loadJson(name), wall_ms(). */
  constructor(ports) {
    this.#ports = ports;
    this.#browser = ports.browser;
  }

  /** What the person chose in the options. */
  get personal() {
    return this.#local.settings ?? {};
  }

  get pause() {
    return this.#local.pause ?? null;
  }

  /** The session that the package names, as one of the replayer's does; null where each sitting draws its own. */
  get session() {
    return /^[0-9a-f]{32}$/.test(this.#packaged.session) ? this.#packaged.session : null;
  }

  /** The names of all actions. */
  get actions() {
    return namesOf(this.#catalogue);
  }

  get isConfigured() {
    return isConfigured(this.config);
  }

  /** Whether settings and person, for their part, let actions be recorded. */
  get allows() {
    return this.isConfigured && this.consent.decision === "given" && !this.paused;
  }

  /** Read everything; `late(managed)` is called once the browser has read the organisation's policy. */
  async load(late) {
    const policy = this.#browser.readManaged();
    const [catalogue, packaged, local] = await Promise.all([
      this.#ports.loadJson("catalogue.json"),
      this.#ports.loadJson("defaults.json"),
      this.#browser.readLocal(KEPT),
    ]);
    this.#catalogue = catalogue;
    this.#packaged = packaged;
    this.#local = local;
    // Chromium reads policies for seconds after its start, while the person signs in already: the last one counts until then.
    this.#managed = local.policy ?? (await policy);
    policy.then(late);
  }

  /** This is the organisation's policy now; whether that changed anything. */
  async obey(managed) {
    const now = JSON.stringify(managed);
    if (now !== JSON.stringify(this.#local.policy)) await this.#browser.writeLocal({ policy: managed });
    this.#local.policy = managed;
    const changed = now !== JSON.stringify(this.#managed);
    this.#managed = managed;
    return changed;
  }

  /** Keep what the person chose or decided: settings, consent, pause. */
  async change(values) {
    await this.#browser.writeLocal(values);
    Object.assign(this.#local, values);
  }

  /** Settle what counts now. */
  resolve() {
    const { config, locked, faults } = resolve({ managed: this.#managed, packaged: this.#packaged, personal: this.personal });
    const { rules, unknown } = rulesFor(this.#catalogue, config.rules);
    for (const name of unknown) faults.push({ name: "rules", text: `rules in your organisation's policy names ${name}, which is no action` });
    if (config.traceparent && !this.#browser.canLabel()) {
      faults.push({ name: "traceparent", text: "traceparent in your organisation's policy needs a package made with --traceparent" });
    }
    if (JSON.stringify(rules) !== JSON.stringify(this.rules)) this.page_rules = pageRules(rules);
    Object.assign(this, { config, locked, faults, rules });
    this.judge();
  }

  /** Consent and pause as they are at this moment. */
  judge() {
    this.consent = consentOf(this.config, this.#local.consent);
    this.paused = isPaused(this.pause, this.#ports.wall_ms());
  }

  /** Whether the person's decision is to be asked for, which is done once; after that the badge does. */
  asksNow() {
    if (this.consent.decision !== "undecided" || this.#local.consent_shown) return false;
    this.#local.consent_shown = true;
    this.#browser.writeLocal({ consent_shown: true });
    return true;
  }
}
