// What the parts do together: pages connect, settings change, the sidecar comes and goes. Everything happens in one queue, in order.

import { Access } from "./access.js";
import { Admission } from "./admission.js";
import { Documents } from "./documents.js";
import { FileWatch } from "./file_watch.js";
import { Link } from "./link.js";
import { Own } from "./own_pages.js";
import { Presence } from "./presence.js";
import { Recorder } from "./recorder.js";
import { Scenarios } from "./scenarios.js";
import { Sitting, isSampled } from "./sessions.js";
import { Settings } from "./settings.js";
import { ownLead } from "./timelines.js";
import { Visits } from "./visits.js";
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
  #access;
  #ready;
  #turn = Promise.resolve();
  #presence;
  #sitting;
  #visits;
  #files;
  #beating = null;
  #saving = null;
  fault = "";
  sampled = true;

  constructor(ports) {
    this.#ports = ports;
    this.#browser = ports.browser;
    this.#access = new Access(ports.browser);
    this.settings = new Settings(ports);
    this.#admission = new Admission({
      ...ports,
      page: () => this.#pages.top,
      named: (from, to) => this.#named(from, to),
    });
    this.link = new Link({
      ...ports,
      complete: (entry) => completed(entry, ports.estimator.at(ports.now_ms()), ownLead(ports.wall_ms, ports.now_ms)),
      credentials: (session) => this.#admission.credentials(session, this.settings.config),
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
      noted: (tab, item) => this.scenarios.noted(tab, item),
      changedHands: () => this.#changeHands(),
      stored: () => {
        this.link.poke();
        return this.#write();
      },
    });
    this.#sitting = new Sitting({ ...ports, named: () => this.settings.session }, this.recorder);
    this.scenarios = new Scenarios({
      ...ports,
      access: this.#access,
      settings: this.settings,
      later: (what) => this.#later(what),
      recording: () => this.recorder.recording,
      changed: () => this.#settle(),
    });
    const { settings, recorder, link, scenarios } = this;
    this.#presence = new Presence({ ...ports, settings, recorder, link, scenarios, access: this.#access, pages: this.#pages });
    const parts = { ...ports, settings, recorder, link, access: this.#access, later: (what) => this.#later(what) };
    this.#files = new FileWatch(parts);
    this.#visits = new Visits({ ...parts, pages: this.#pages, presence: this.#presence, sit: () => this.#sit(), show: () => this.#show() });
    this.#ready = new Promise((resolve_) => (this.start = () => resolve_(this.#start())));
    this.own = new Own(this, ports);
  }

  get outbox() {
    return this.#ports.outbox;
  }

  get now() {
    return this.#presence.now;
  }

  get downloads() {
    return this.#access.downloads;
  }

  get requests() {
    return this.#access.requests;
  }

  get offset() {
    return this.#ports.estimator.at(this.#ports.now_ms());
  }

  // events

  connected(port) {
    if (port.name === "tracemark-scenario") this.scenarios.connected(port);
    if (port.name === "tracemark") this.#visits.connected(port);
  }

  /** One of our own pages asks; content scripts may not. */
  asked(message, sender) {
    if (sender.id !== this.#browser.id || !sender.url?.startsWith(this.#browser.url(""))) return undefined;
    return this.#later(() => this.own.answer(message));
  }

  /** Tabs that were open before us (or before our update) have no content script, or one that lost its background. */
  installed() {
    this.#later(() => this.#access.inject(this.settings.config.context_path));
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

  watchFiles() {
    this.#files.begin();
  }

  permissionsChanged() {
    this.watchFiles();
    this.#later(async () => {
      await this.refresh();
      await this.installed();
    });
  }

  tabClosed(tab) {
    setTimeout(() => this.#later(() => this.recorder.cancel({ why: "tab", tab })), LAST_WORDS_MS);
  }

  // what own pages may do

  async change(values) {
    await this.settings.change(values);
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
    const { settings } = this;
    settings.resolve();
    const { config } = settings;
    await this.#access.look(config.sites);
    await this.#sit();
    await this.#judge();
    await this.outbox.expire();
    await this.recorder.cancel({ why: "stale" });
    this.link.configure(
      settings.isConfigured && settings.consent.decision === "given"
        ? { url: config.sidecar_url, client: `tracemark-extension-${this.#browser.version()}`, token: config.token, final_401: config.auth === "token" }
        : null,
    );
    this.#visits.tell();
    await this.scenarios.follow();
    await this.#settle();
  }

  /** The content scripts where they are to be, and what is seen of us. */
  async #settle() {
    const { config, consent } = this.settings;
    await this.#access.register(config.context_path, consent.decision !== "refused", this.scenarios.on);
    await this.#show();
  }

  async #start() {
    await this.#ports.alone();
    try {
      const [saved] = await Promise.all([
        this.#browser.readSession(["session", "recorder", "scenario"]),
        this.settings.load((managed) => this.#later(() => this.#obey(managed))),
        this.outbox.load(),
      ]);
      this.recorder.session = saved.session ?? null;
      this.recorder.restore(this.settings.actions, saved.recorder);
      this.scenarios.restore(saved.scenario);
    } catch (error) {
      this.fault = `Its storage or its files cannot be read (${error?.name ?? "error"}).`;
    }
    await this.refresh();
  }

  /** This is the organisation's policy now. */
  async #obey(managed) {
    if (await this.settings.obey(managed)) await this.refresh();
  }

  /** Run after everything before, once started; a failure is shown and does not stop what comes after. */
  #later(what) {
    const done = this.#turn.then(() => this.#ready).then(what);
    this.#turn = done.catch((error) => console.error("tracemark:", error?.name, error?.message));
    return done;
  }

  /** The session that is going on, or a new one. */
  async #sit() {
    if (await this.#sitting.renew()) await this.#judge();
  }

  /** Whether to record; when that ends, what is open is cancelled. */
  async #judge() {
    const { settings, recorder } = this;
    settings.judge();
    this.sampled = isSampled(recorder.session, settings.config.sampling);
    const recording = settings.allows && this.#access.sites.length > 0 && this.sampled && !this.fault;
    if (recorder.recording && !recording) await recorder.cancel({ why: "all" });
    recorder.recording = recording;
  }

  /** Somebody signed in or out: with tickets, what comes next is another login's session. */
  async #changeHands() {
    const { recorder, settings, outbox } = this;
    if (settings.config.auth !== "ticket" || !outbox.ticket(recorder.session.id)) return;
    recorder.session = null;
    await this.#sit();
    await this.#judge();
    await this.#show();
  }

  /** The sidecar knows a session by another name than the one that we drew. */
  async #named(from, to) {
    if (!(await this.#sitting.rename(from, to))) return;
    this.link.follow(to, true);
    this.#later(() => this.#show());
  }

  /** The status as it is now, on the badge and for the popup; and whatever keeps the background alive. */
  async #show() {
    await this.#presence.show(this);
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

  /** What the popup shows also outlives this background; at most twice a second. */
  #save() {
    this.#saving ??= setTimeout(() => {
      this.#saving = null;
      this.#write();
    }, 500);
  }

  /** What must outlive this background. */
  #write() {
    return this.#browser.writeSession({ recorder: this.recorder.toJSON() });
  }
}

