// From what pages tell to numbered markers in the outbox: open actions, downloads, ratings. It records while it is told to.

import { AwaitedDownloads, answerOutcome, downloadAge, downloadBytes, downloadOrigin } from "./downloads.js";
import { OpenActions } from "./open_actions.js";
import { ownLead } from "./timelines.js";
import { attributes, markerFields, offsetFields } from "./wire_items.js";

/** Between two questions of how it felt; an ignored one goes away by itself. */
const RATING_EVERY_MS = 20 * 60_000;
const RATING_SHOWN_MS = 5 * 60_000;
const RECENT = 50;
const PAGE_COUNTS = new Set(["dropped", "overloads", "bad_rules", "errors"]);
const SIGNING = new Set(["login", "logout"]);

export class Recorder {
  #ports;
  #names = new Set();
  #open = new OpenActions();
  #awaited = new AwaitedDownloads();
  #rating = { asked_ms: 0, shown: false };
  #last_ended = null;
  recording = false;
  session = null;
  storage_full = false;
  signed_out = false;
  left_out = 0;
  page_counts = {};
  recent = [];

  /**
   * `ports`: outbox, estimator, now_ms(), wall_ms(), lost() (the outbox dropped something), stored() (there is something
   * to send; resolves when what is open is written down, too), changedHands() (somebody signed in or out), noted(tab, item) (this was recorded, for whoever makes a scenario of it).
   */
  constructor(ports) {
    this.#ports = ports;
  }

  restore(names, saved) {
    this.#names = names;
    this.#open = new OpenActions(saved?.open);
    // An end may have been kept just before the last background was ended, and not that it is over.
    for (const { action_id, action, tab } of this.session ? this.#open.all() : []) {
      const over = ["end", "cancel"].find((phase) => this.#ports.outbox.holds(this.session.id, { action_id, phase }));
      if (over) this.#open.note(tab, { action_id, action, phase: over });
    }
    this.#awaited = new AwaitedDownloads(saved?.awaited);
    this.#rating = saved?.rating ?? { asked_ms: this.#ports.wall_ms(), shown: false };
    this.#last_ended = saved?.last_ended ?? null;
    this.signed_out = saved?.signed_out ?? false;
    this.recent = saved?.recent ?? [];
    this.left_out = saved?.left_out ?? 0;
    this.page_counts = saved?.page_counts ?? {};
  }

  toJSON() {
    return {
      open: this.#open.toJSON(),
      awaited: this.#awaited.toJSON(),
      rating: this.#rating,
      last_ended: this.#last_ended,
      signed_out: this.signed_out,
      recent: this.recent,
      left_out: this.left_out,
      page_counts: this.page_counts,
    };
  }

  openFor(page) {
    return this.#open.of(page.tab, page.opener, this.#ports.now_ms());
  }

  /** A page's batch `{items, clock, counts, again}`; a document's counts (of what it had to drop, and why) only grow. */
  async take(page, message) {
    for (const [name, count] of Object.entries(message.counts ?? {})) {
      if (!PAGE_COUNTS.has(name) || !Number.isSafeInteger(count)) continue;
      this.page_counts[name] = (this.page_counts[name] ?? 0) + Math.max(0, count - (page.counts?.[name] ?? 0));
    }
    page.counts = message.counts;
    if (!this.recording || !Array.isArray(message.items)) return;
    page.skew.add(message.clock, this.#ownLead());
    const now_ms = this.#ports.now_ms();
    const fresh = [];
    for (const item of message.items.slice(0, 1000)) {
      const fields = markerFields(item, { names: this.#names, now_ms });
      if (fields === null) {
        this.left_out += 1;
        continue;
      }
      this.left_out += attributes(item.attrs).dropped;
      if (message.again && this.#ports.outbox.holds(this.session.id, fields)) {
        this.#open.note(page.tab, item); // kept by a background that was ended before it could note it
        continue;
      }
      if (this.#note(page.tab, item)) fresh.push(this.#marker(fields, page.skew.ms));
    }
    await this.#put(fresh);
    if (fresh.some(({ fields }) => fields.phase === "end" && SIGNING.has(fields.action))) await this.#ports.changedHands();
  }

  async awaitDownload(page, action_id) {
    if (!this.recording || typeof action_id !== "string") return;
    const outcome = this.#awaited.awaitFor(action_id, this.#ports.now_ms());
    if (outcome) await this.#endDownload(action_id, outcome, page.tab);
  }

  downloadBegins(item, sites) {
    if (this.recording && sites.includes(downloadOrigin(item))) this.#awaited.begins(item.id, this.#ports.now_ms());
  }

  /** A download changed its state; `find(id)` asks the browser for its size. */
  async downloadChanged(id, state, find) {
    if (!this.#awaited.knows(id) || !["complete", "interrupted"].includes(state)) return;
    const [heard_ms, clock_ms] = [this.#ports.now_ms(), this.#ports.wall_ms()];
    const item = await find(id);
    const outcome = { state, wall_ms: heard_ms - downloadAge(item, clock_ms), bytes: state === "complete" ? downloadBytes(item) : undefined };
    const action_id = this.#awaited.ends(id, outcome);
    if (action_id !== undefined) await this.#endDownload(action_id, outcome);
  }

  /** A request for a file begins, as webRequest tells it. */
  answerBegins(request) {
    if (this.recording) this.#awaited.begins(`request ${request.requestId}`, this.#ports.now_ms());
  }

  /** Its last byte is here, or it failed. */
  async answerEnds(request, failed) {
    const id = `request ${request.requestId}`;
    if (!this.#awaited.knows(id)) return;
    const outcome = { ...answerOutcome(request, failed), wall_ms: this.#ports.now_ms() - Math.max(0, this.#ports.wall_ms() - request.timeStamp) };
    const action_id = this.#awaited.ends(id, outcome);
    if (action_id !== undefined) await this.#endDownload(action_id, outcome);
  }

  /** Nothing will end these any more: the pause began, the tab is gone, or it was an hour ago. */
  async cancel(which) {
    const now_ms = this.#ports.now_ms();
    const chosen = { all: () => this.#open.all(), stale: () => this.#open.stale(now_ms), tab: () => this.#open.boundTo(which.tab) };
    const unseen = (one) => which.why === "stale" && one.action === "download" && !this.#awaited.watches(one.action_id);
    const found = chosen[which.why]().filter((one) => which.why !== "tab" || !this.#awaited.isFor(one.action_id));
    for (const one of found.filter(unseen)) this.#open.leave(one.action_id);
    const gone = found.filter((one) => !unseen(one));
    const late = which.why === "stale" ? this.#awaited.overdue(now_ms) : [];
    await this.#put([...gone, ...late.map((id) => this.#open.find(id)).filter(Boolean)].flatMap((one) => this.#last(one, "cancel", now_ms, {})));
  }

  /** Whether to ask how it felt: never while something is under way, at most every 20 minutes, and only after something happened. */
  ratingDue(wanted) {
    const now_ms = this.#ports.wall_ms();
    if (!wanted || !this.recording || this.#open.size > 0) return false;
    if (this.#rating.shown && now_ms - this.#rating.asked_ms > RATING_SHOWN_MS) this.#rating = { asked_ms: now_ms, shown: false };
    if (!this.#rating.shown && this.#last_ended && now_ms - this.#rating.asked_ms >= RATING_EVERY_MS) {
      this.#rating = { asked_ms: now_ms, shown: true };
    }
    return this.#rating.shown;
  }

  /** The answer, 1 to 5, or null for not now. */
  async rate(score) {
    this.#rating = { asked_ms: this.#ports.wall_ms(), shown: false };
    if (!this.recording || ![1, 2, 3, 4, 5].includes(score)) return;
    const now_ms = this.#ports.now_ms();
    const recent = this.#last_ended && now_ms - this.#last_ended.wall_ms < RATING_SHOWN_MS ? { action_id: this.#last_ended.action_id } : {};
    await this.#put([{ kind: "rating", fields: { time_ns: Math.round(now_ms * 1e6), score, ...recent }, lead_ms: this.#ownLead() }]);
  }

  /** A message left for the sidecar: the last items are shown to the person exactly as they were sent. */
  sent(message) {
    const items = message.type === "markers" ? message.items : [message];
    const older = this.recent.filter((old) => !items.some((item) => item.seq === old.seq && item.action_id === old.action_id));
    this.recent = [...older, ...items].slice(-RECENT);
  }

  #endDownload(action_id, { state, wall_ms, bytes, evidence = "download" }, tab) {
    const open = this.#open.find(action_id) ?? { action_id, action: "download", tab };
    const attrs = state === "complete" ? { evidence, ...(bytes === undefined ? {} : { bytes }) } : {};
    return this.#put(this.#last(open, state === "complete" ? "end" : "cancel", wall_ms, attrs));
  }

  #last({ action_id, action, tab }, phase, wall_ms, attrs) {
    const item = { action_id, action, phase, wall_ms, attrs };
    const fields = markerFields(item, { names: this.#names, now_ms: this.#ports.now_ms() });
    return fields && this.#note(tab, item) ? [this.#marker(fields, 0)] : [];
  }

  #note(tab, item) {
    if (!this.#open.note(tab, item)) return false;
    if (item.phase !== "begin") this.#awaited.forget(item.action_id);
    if (item.action === "login") this.signed_out = false;
    if (item.action === "logout" && item.phase === "end") this.signed_out = true;
    this.#ports.noted(tab, item);
    if (item.phase === "end") this.#last_ended = { action_id: item.action_id, wall_ms: item.wall_ms };
    return true;
  }

  /** An entry; its offset is today's if the clocks were compared, else it is added when it is sent. */
  #marker(fields, skew_ms) {
    const own_lead_ms = this.#ownLead();
    const lead_ms = own_lead_ms + skew_ms;
    const offset = offsetFields(this.#ports.estimator.at(this.#ports.now_ms()), lead_ms, own_lead_ms);
    return { kind: "marker", fields: { ...fields, ...offset }, lead_ms };
  }

  #ownLead() {
    return ownLead(this.#ports.wall_ms, this.#ports.now_ms);
  }

  async #put(entries) {
    if (entries.length === 0 || this.session === null) return;
    const { kept, dropped } = await this.#ports.outbox.put(this.session.id, entries);
    this.storage_full = !kept;
    if (dropped > 0) this.#ports.lost();
    await this.#ports.stored();
  }
}
