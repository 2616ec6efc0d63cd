// What the parts do together: pages connect, settings change, the sidecar comes and goes. Everything happens in one queue, in order.

import { Access } from "./access.js";
import { Admission } from "./admission.js";
import { namesOf, rulesFor } from "./catalogue.js";
import { lead } from "./clock.js";
import { isConfigured, resolve } from "./config.js";
import { consentOf, isPaused } from "./consent.js";
import { Documents } from "./documents.js";
import { Face } from "./face.js";
import { Link } from "./link.js";
import { Own } from "./own_pages.js";
import { Recorder } from "./recorder.js";
import { isSampled, newSession, stillValid } from "./sessions.js";
import { siteOf } from "./sites.js";
import { status } from "./status.js";
import { completed } from "./wire_items.js";

/** Shorter than the half minute after which browsers end an idle background. */
const BEAT_MS = 20_000;
/** The last batch of a closing tab may come after the news that it is closed. */
const LAST_WORDS_MS = 1000;

export class Service {
  #ports;
  #browser;
  #admission;
  #pages = new Documents();
  #face;
  #access;
  #ready;
  #turn = Promise.resolve();
  #catalogue = null;
  #packaged = {};
  #managed = {};
  #local = {};
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
    this.#face = new Face(ports.browser);
    this.#access = new Access(ports.browser);
    this.#admission = new Admission({
      ...ports,
      page: () => this.#pages.top,
      named: (from, to) => this.#named(from, to),
    });
    this.link = new Link({
      ...ports,
      complete: (entry) => completed(entry, ports.estimator.at(ports.now_ms()), lead(ports.wall_ms(), ports.now_ms())),
      credentials: (session) => this.#admission.credentials(session, this.config),
      forgetCredentials: (session) => ports.outbox.keepTicket(session, undefined),
      sent: (message) => {
        this.recorder.sent(message);
        this.#save();
      },
      changed: () => this.#later(() => this.#show()),
    });
    this.recorder = new Recorder({
      ...ports,
      lost: () => this.link.restart(),
      changedHands: () => this.#changeHands(),
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

  get downloads() {
    return this.#access.downloads;
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
    const page = this.#pages.add(port);
    port.onMessage.addListener((message) => this.#later(() => this.#heard(page, message)));
    port.onDisconnect.addListener(() => {
      this.#pages.remove(page);
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
    this.#later(() => this.#access.inject(this.config.context_path));
  }

  wake() {
    this.#later(() => this.refresh());
  }

  alarm() {
    this.#later(() => this.refresh());
  }

  stored(changes, area) {
    if (area === "managed") {
      this.#later(async () => this.#obey(await this.#browser.readManaged()));
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
      (item) => this.#later(() => this.recorder.downloadBegins(item, this.#access.sites)),
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
    await this.#access.look(config.sites);
    await this.#sit();
    await this.#judge();
    await this.#access.register(config.context_path, this.consent.decision !== "refused");
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
      const policy = this.#browser.readManaged();
      const [catalogue, packaged, local, saved] = await Promise.all([
        this.#ports.loadJson("catalogue.json"),
        this.#ports.loadJson("defaults.json"),
        this.#browser.readLocal(["settings", "consent", "pause", "consent_shown", "policy"]),
        this.#browser.readSession(["session", "recorder"]),
        this.outbox.load(),
      ]);
      this.#catalogue = catalogue;
      this.#packaged = packaged;
      this.#local = local;
      // Chromium reads policies for seconds after its start, while the person signs in already: the last one counts until then.
      this.#managed = local.policy ?? (await policy);
      policy.then((managed) => this.#later(() => this.#obey(managed)));
      this.recorder.restore(namesOf(catalogue), saved.recorder);
      this.recorder.session = saved.session ?? null;
    } catch (error) {
      this.fault = `Its storage or its files cannot be read (${error?.name ?? "error"}).`;
      this.config = resolve({}).config;
    }
    await this.refresh();
  }

  /** This is the organisation's policy now. */
  async #obey(managed) {
    if (JSON.stringify(managed) !== JSON.stringify(this.#local.policy)) await this.#browser.writeLocal({ policy: managed });
    this.#local.policy = managed;
    if (JSON.stringify(managed) === JSON.stringify(this.#managed)) return;
    this.#managed = managed;
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
        if (page.site) this.#pages.post(page, this.#state(page));
        this.#face.renew(page.tab);
        await this.#show();
        break;
      case "items":
        await this.#sit();
        if (page.site) await this.recorder.take(page, message);
        if (message.batch !== undefined) this.#pages.post(page, { type: "stored", batch: message.batch });
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
    if (session) await this.#judge();
  }

  /** Whether to record; when that ends, what is open is cancelled. */
  async #judge() {
    const { config, recorder } = this;
    this.consent = consentOf(config, this.#local.consent);
    this.paused = isPaused(this.pause, this.#ports.wall_ms());
    this.sampled = isSampled(recorder.session, config.sampling);
    const recording =
      isConfigured(config) && this.consent.decision === "given" && this.#access.sites.length > 0 && !this.paused && this.sampled && !this.fault;
    if (recorder.recording && !recording) await recorder.cancel({ why: "all" });
    recorder.recording = recording;
  }

  /** The first page of a site asks for the person's decision, once; after that the badge does. */
  #askOnce() {
    if (this.consent.decision !== "undecided" || this.#local.consent_shown) return;
    this.#local.consent_shown = true;
    this.#browser.writeLocal({ consent_shown: true });
    this.#browser.openTab("consent.html");
  }

  /** Somebody signed in or out: with tickets, what comes next is another login's session. */
  async #changeHands() {
    const { session } = this.recorder;
    if (this.config.auth !== "ticket" || !this.outbox.ticket(session.id)) return;
    this.recorder.session = null;
    await this.#sit();
    await this.#judge();
    await this.#show();
  }

  /** The sidecar knows the session by another name than the one that we drew. */
  async #named(from, to) {
    if (this.recorder.session?.id !== from) return;
    this.recorder.session = { ...this.recorder.session, id: to };
    this.link.follow(to, true);
    await this.#browser.writeSession({ session: this.recorder.session });
  }

  #state(page) {
    const recording = this.recorder.recording && this.#access.sites.includes(page.site);
    const { context_path } = this.config;
    if (!recording) return { type: "state", recording, context_path, open: [], downloads: false };
    return { type: "state", recording, context_path, rules: this.rules, open: this.recorder.openFor(page), downloads: this.downloads };
  }

  /** Tell all pages when something changed for them. */
  #tell() {
    const told = JSON.stringify([this.recorder.recording, this.#access.sites, this.config.context_path, this.rules, this.downloads]);
    if (told === this.#told) return;
    this.#told = told;
    this.#pages.tell(this.config.sites, (page) => this.#state(page));
  }

  /** The status as it is now, on the badge and for the popup; and whatever keeps the background alive or wakes it. */
  async #show() {
    const { tabs } = this.#pages;
    this.link.follow(this.recorder.session?.id ?? null, tabs.length > 0 && this.recorder.recording);
    this.now = status({
      ...this,
      configured: isConfigured(this.config),
      permitted: this.#access.sites.length > 0,
      pause: this.pause,
      faults: [...(this.faults ?? []), ...this.#access.missing(this.config.sites)],
      storage_full: this.recorder.storage_full,
      tabs: tabs.length,
      rating_due: this.recorder.ratingDue(this.config.rating),
    });
    await this.#face.show(this.now, tabs);
    await this.#face.wakeAt(this.paused ? this.pause.until_ms : null, this.outbox.totals.count > 0);
    if (this.#pages.size > 0) this.#beat();
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

