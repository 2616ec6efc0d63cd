// What the parts do together: pages connect, settings change, the sidecar comes and goes. Everything happens in one queue, in order.

import { namesOf, rulesFor } from "./catalogue.js";
import { lead } from "./clock.js";
import { isConfigured, resolve } from "./config.js";
import { consentOf, isPaused } from "./consent.js";
import { Link } from "./link.js";
import { Own } from "./own_pages.js";
import { Recorder } from "./recorder.js";
import { isSampled, newSession, stillValid } from "./sessions.js";
import { CONTENT_FILES, isRegistered, matchPatterns, originPatterns, registration, siteOf } from "./sites.js";
import { elsewhere, status } from "./status.js";
import { Tickets, requestTicket } from "./ticket.js";
import { completed } from "./wire_items.js";

/** Shorter than the half minute after which browsers end an idle background. */
const BEAT_MS = 20_000;
/** The last batch of a closing tab may come after the news that it is closed. */
const LAST_WORDS_MS = 1000;
const TICKETS = "/tracemark/api/v1/tickets";

export class Service {
  #ports;
  #browser;
  #pages = new Map();
  #ready;
  #turn = Promise.resolve();
  #catalogue = null;
  #packaged = {};
  #managed = {};
  #local = {};
  #tickets = new Tickets();
  #granted = [];
  #told = "";
  #beating = null;
  #saving = null;
  #watching = false;
  fault = "";
  config = null;
  locked = [];
  now = null;

  constructor(ports) {
    this.#ports = ports;
    this.#browser = ports.browser;
    this.link = new Link({
      ...ports,
      complete: (entry) => completed(entry, ports.estimator.at(ports.now_ms()), lead(ports.wall_ms(), ports.now_ms())),
      credentials: () => this.#credentials(),
      forgetCredentials: () => this.#tickets.forget(),
      sent: (message) => {
        this.recorder.sent(message);
        this.#save();
      },
      changed: () => this.#later(() => this.#show()),
    });
    this.recorder = new Recorder({
      ...ports,
      lost: () => this.link.restart(),
      stored: () => {
        this.link.poke();
        this.#save();
      },
    });
    this.#ready = new Promise((resolve_) => (this.start = () => resolve_(this.#start())));
    this.own = new Own(this, ports);
  }

  get outbox() {
    return this.#ports.outbox;
  }

  get personal() {
    return this.#local.settings ?? {};
  }

  get pause() {
    return this.#local.pause ?? null;
  }

  get offset() {
    return this.#ports.estimator.at(this.#ports.now_ms());
  }

  // events

  connected(port) {
    if (port.name !== "tracemark") return;
    const { tab, frameId } = port.sender ?? {};
    const page = { port, tab: tab?.id, opener: tab?.openerTabId, frame: frameId, lead_ms: undefined };
    this.#pages.set(port, page);
    port.onMessage.addListener((message) => this.#later(() => this.#heard(page, message)));
    port.onDisconnect.addListener(() => {
      this.#pages.delete(port);
      this.#later(() => this.#show());
    });
  }

  /** One of our own pages asks; content scripts may not. */
  asked(message, sender) {
    if (sender.id !== this.#browser.id || !sender.url?.startsWith(this.#browser.url(""))) return undefined;
    return this.#later(() => this.own.answer(message));
  }

  /** Tabs that were open before us (or before our update) have no content script, or one that lost its background. */
  installed() {
    this.#later(async () => {
      if (this.#granted.length === 0) return;
      const tabs = await this.#browser.tabsOn(matchPatterns(this.#granted, this.config.context_path));
      await Promise.all(tabs.map((tab) => this.#browser.inject(tab.id, CONTENT_FILES)));
    });
  }

  wake() {
    this.#later(() => this.refresh());
  }

  alarm() {
    this.#later(() => this.refresh());
  }

  stored(changes, area) {
    if (area === "managed") {
      this.#later(async () => {
        this.#managed = await this.#browser.readManaged();
        await this.refresh();
      });
    }
  }

  permissionsChanged() {
    this.watchDownloads();
    this.#later(async () => {
      await this.refresh();
      await this.installed();
    });
  }

  tabClosed(tab) {
    setTimeout(() => this.#later(() => this.recorder.cancel({ why: "tab", tab })), LAST_WORDS_MS);
  }

  watchDownloads() {
    this.#watching ||= this.#browser.watchDownloads(
      (item) => this.#later(() => this.recorder.downloadBegins(item, this.#granted)),
      (change) => this.#later(() => this.recorder.downloadChanged(change.id, change.state?.current, this.#browser.download)),
    );
  }

  // what own pages may do

  async change(values) {
    await this.#browser.writeLocal(values);
    Object.assign(this.#local, values);
    await this.refresh();
  }

  async forgetUnsent() {
    const count = await this.outbox.clear();
    if (count > 0) this.link.restart();
    await this.#show();
    return count;
  }

  /** Everything that depends on settings, consent, permissions and time. */
  async refresh() {
    if (this.fault) return this.#show();
    const { config, locked, faults } = resolve({ managed: this.#managed, packaged: this.#packaged, personal: this.personal });
    const { rules, unknown } = rulesFor(this.#catalogue, config.rules);
    for (const name of unknown) faults.push({ name: "rules", text: `rules in your organisation's policy names ${name}, which is no action` });
    Object.assign(this, { config, locked, faults, rules });
    const granted = await Promise.all(config.sites.map((site) => this.#browser.hasOrigins(originPatterns([site]))));
    this.#granted = config.sites.filter((_, index) => granted[index]);
    this.downloads = await this.#browser.hasDownloads();
    await this.#sit();
    await this.#judge();
    await this.#register();
    await this.outbox.expire();
    await this.recorder.cancel({ why: "stale" });
    this.link.configure(
      isConfigured(config) && this.consent.decision === "given"
        ? { url: config.sidecar_url, client: `tracemark-extension-${this.#browser.version()}`, token: config.token, final_401: config.auth === "token" }
        : null,
    );
    this.#tell();
    await this.#show();
  }

  async #start() {
    await this.#ports.alone();
    try {
      const [catalogue, packaged, local, managed, saved] = await Promise.all([
        this.#ports.loadJson("catalogue.json"),
        this.#ports.loadJson("defaults.json"),
        this.#browser.readLocal(["settings", "consent", "pause", "consent_shown"]),
        this.#browser.readManaged(),
        this.#browser.readSession(["session", "recorder"]),
        this.outbox.load(),
      ]);
      this.#catalogue = catalogue;
      this.#packaged = packaged;
      this.#local = local;
      this.#managed = managed;
      this.recorder.restore(namesOf(catalogue), saved.recorder);
      this.recorder.session = saved.session ?? null;
    } catch (error) {
      this.fault = `Its storage or its files cannot be read (${error?.name ?? "error"}).`;
      this.config = resolve({}).config;
    }
    await this.refresh();
  }

  /** Run after everything before, once started; a failure is shown and does not stop what comes after. */
  #later(what) {
    const done = this.#turn.then(() => this.#ready).then(what);
    this.#turn = done.catch((error) => console.error("tracemark:", error?.name, error?.message));
    return done;
  }

  async #heard(page, message) {
    switch (message?.type) {
      case "hello":
      case "open":
        page.site = siteOf(page.port.sender, this.config.sites);
        if (page.site && message.top) this.#askOnce();
        if (page.site && this.link.trouble?.code === "no_ticket") this.link.again();
        this.#tellOne(page);
        await this.#show();
        break;
      case "items":
        await this.#sit();
        if (page.site) await this.recorder.take(page, message);
        if (message.batch !== undefined) this.#post(page, { type: "stored", batch: message.batch });
        await this.#show();
        break;
      case "await_download":
        if (page.site && this.downloads) await this.recorder.awaitDownload(page, message.action_id);
        break;
    }
  }

  /** The session that is going on, or a new one. */
  async #sit() {
    const now_ms = this.#ports.wall_ms();
    const { session } = this.recorder;
    if (stillValid(session, now_ms) && this.outbox.has(session.id)) return;
    const fresh = newSession(now_ms, this.#ports.randomBytes);
    await this.outbox.begin(fresh.id, now_ms);
    this.recorder.session = fresh;
    await this.#browser.writeSession({ session: fresh });
    await this.#judge();
  }

  /** Whether to record; when that ends, what is open is cancelled. */
  async #judge() {
    const { config, recorder } = this;
    this.consent = consentOf(config, this.#local.consent);
    this.paused = isPaused(this.pause, this.#ports.wall_ms());
    this.sampled = isSampled(recorder.session, config.sampling);
    const recording =
      isConfigured(config) && this.consent.decision === "given" && this.#granted.length > 0 && !this.paused && this.sampled && !this.fault;
    if (recorder.recording && !recording) await recorder.cancel({ why: "all" });
    recorder.recording = recording;
  }

  async #register() {
    const wanted =
      this.#granted.length > 0 && this.consent.decision !== "refused"
        ? registration(this.#granted, this.config.context_path, CONTENT_FILES)
        : null;
    const held = await this.#browser.registered();
    if (wanted ? isRegistered(wanted, held) : held.length === 0) return;
    if (held.length > 0) await this.#browser.unregister(held.map((script) => script.id));
    if (wanted) await this.#browser.register(wanted);
  }

  /** The first page of a site asks for the person's decision, once; after that the badge does. */
  #askOnce() {
    if (this.consent.decision !== "undecided" || this.#local.consent_shown) return;
    this.#local.consent_shown = true;
    this.#browser.writeLocal({ consent_shown: true });
    this.#browser.openTab("consent.html");
  }

  async #credentials() {
    const { auth, token, context_path } = this.config;
    if (auth === "token") return token ? { token } : {};
    const page = [...this.#pages.values()].find((one) => one.site && one.frame === 0);
    const ask = async (address) => page && this.#browser.ask(page.tab, requestTicket, [address]).catch(() => undefined);
    return { ticket: await this.#tickets.get(ask, `${page?.site}${context_path}${TICKETS}`, this.#ports.wall_ms()) };
  }

  #state(page) {
    const recording = this.recorder.recording && this.#granted.includes(page.site);
    const { context_path } = this.config;
    if (!recording) return { type: "state", recording, context_path, open: [], downloads: false };
    return { type: "state", recording, context_path, rules: this.rules, open: this.recorder.openFor(page), downloads: this.downloads };
  }

  #tellOne(page) {
    if (page.site !== undefined) this.#post(page, this.#state(page));
  }

  /** Tell all pages when something changed for them. */
  #tell() {
    const told = JSON.stringify([this.recorder.recording, this.#granted, this.config.context_path, this.rules, this.downloads]);
    if (told === this.#told) return;
    this.#told = told;
    for (const page of this.#pages.values()) {
      page.site = siteOf(page.port.sender, this.config.sites) ?? page.site;
      this.#tellOne(page);
    }
  }

  #post(page, message) {
    try {
      page.port.postMessage(message);
    } catch {
      this.#pages.delete(page.port); // gone, and the news of it is on its way
    }
  }

  /** The badge, the alarms and the beat, as they should be now. */
  async #show() {
    const live = [...this.#pages.values()].filter((page) => page.site !== undefined);
    this.link.follow(this.recorder.session?.id ?? null, live.length > 0 && this.recorder.recording);
    this.now = status({
      ...this,
      configured: isConfigured(this.config),
      permitted: this.#granted.length > 0,
      pause: this.pause,
      faults: [...(this.faults ?? []), ...this.#missing()],
      storage_full: this.recorder.storage_full,
      tabs: live.length,
      rating_due: this.recorder.ratingDue(this.config.rating),
    });
    await this.#browser.setBadge(undefined, elsewhere(this.now));
    await Promise.all([...new Set(live.map((page) => page.tab))].map((tab) => this.#browser.setBadge(tab, this.now.badge)));
    if (this.paused && this.pause.until_ms !== null) this.#browser.setAlarm("resume", { when: this.pause.until_ms });
    if (this.outbox.totals.count > 0) this.#browser.setAlarm("deliver", { periodInMinutes: 1 });
    else await this.#browser.clearAlarm("deliver");
    if (this.#pages.size > 0) this.#beat();
  }

  #missing() {
    if (this.#granted.length === 0) return [];
    const missing = this.config.sites.filter((site) => !this.#granted.includes(site));
    return missing.map((site) => ({ name: "sites", text: `No access to ${new URL(site).host}: allow it in the options` }));
  }

  #beat() {
    this.#beating ??= setTimeout(() => {
      this.#beating = null;
      this.#browser.stayAwake();
      this.link.beat();
      this.wake();
    }, BEAT_MS);
  }

  /** What must outlive this background; at most twice a second. */
  #save() {
    this.#saving ??= setTimeout(() => {
      this.#saving = null;
      this.#browser.writeSession({ recorder: this.recorder.toJSON() });
    }, 500);
  }
}

