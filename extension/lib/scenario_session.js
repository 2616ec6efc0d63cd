// A session that is being recorded as a scenario: what its pages told, bounded and checked, until somebody saves or discards it.

const MOST = 2000;
const LONGEST_MS = 2 * 3600_000;
const LOCATOR = /^(css|id|name|xpath)=./;
const PATH = /^\/[^?#]{0,500}$/;
const KINDS = new Set(["document", "click", "dblclick", "drag", "type", "keys", "wheel", "select", "file"]);
const FIELDS = new Set(["user", "password", "text"]);
const LEFT_OUT = new Set(["letter", "error"]);
const KEY = /^[A-Z][A-Za-z]{1,9}$/;
const fits = (list, pattern, most) => Array.isArray(list) && list.length <= most && list.every((one) => typeof one === "string" && one.length < 600 && pattern.test(one));

const isPoint = (value) => Array.isArray(value) && value.length === 2 && value.every((one) => Number.isFinite(one) && Math.abs(one) < 10_000);

/** What a page told, field by field; null when it is nothing of ours. */
function checked({ type, t, last = t, ...told }) {
  if (!KINDS.has(type) || !Number.isFinite(t) || !Number.isFinite(last)) return null;
  const found = { type, t, last };
  if (type === "document") {
    const size = fits(told.window?.map?.(String), /^\d{1,5}$/, 2) ? told.window : undefined;
    return PATH.test(told.path) ? { ...found, path: told.path, typed: told.typed === true, window: size } : null;
  }
  if (!fits(told.targets, LOCATOR, 8) || told.targets.length === 0) return null;
  found.targets = told.targets;
  if (type === "click") Object.assign(found, { field: told.field === true, middle: told.middle === true });
  if (type === "select") found.index = Math.min(10_000, Math.max(0, Math.round(told.index) || 0));
  if (type === "drag") {
    if (!isPoint(told.at) || !(fits(told.onto, LOCATOR, 8) || isPoint(told.by))) return null;
    Object.assign(found, { at: told.at.map(Math.round) }, told.onto ? { onto: told.onto } : { by: told.by.map(Math.round) });
  }
  if (type === "type") found.field = FIELDS.has(told.field) ? told.field : "text";
  if (type === "wheel") {
    if (!Array.isArray(told.turns) || told.turns.length === 0 || !told.turns.every((one) => Number.isInteger(one) && one !== 0 && Math.abs(one) < 10_000)) return null;
    found.turns = told.turns.slice(0, 100);
  }
  if (type === "keys") {
    if (!fits(told.keys, KEY, 1000)) return null;
    found.keys = told.keys;
  }
  return found;
}

export class ScenarioSession {
  #pages = new Set();
  #held = null;

  /** Take over what an earlier background left. */
  restore(saved) {
    this.#held = saved ?? null;
  }

  toJSON() {
    return this.#held;
  }

  get on() {
    return this.#held?.on ?? false;
  }

  /** What the options show of it; null when there is nothing. */
  get summary() {
    if (!this.#held) return null;
    const { on, name, events, markers, left_out } = this.#held;
    const begun = new Set(markers.filter((one) => one.phase === "begin").map((one) => one.action_id)).size;
    return { on, name, gestures: events.filter((one) => one.type !== "document").length, actions: begun, left_out };
  }

  /** Everything that the file is made of. */
  get recorded() {
    return this.#held;
  }

  start(name, role, now_ms) {
    this.#held = { on: true, name, role, started_ms: now_ms, tab: null, tabs: [], first: {}, events: [], markers: [], left_out: {} };
  }

  /** Nothing more is added, and the pages fall silent. */
  stop() {
    if (this.#held) this.#held.on = false;
    for (const port of this.#pages) this.#say(port, { type: "stop" });
    this.#pages.clear();
  }

  discard() {
    this.stop();
    this.#held = null;
  }

  /** A page of the site has the script. */
  joined(port, context_path) {
    if (!this.on) return this.#say(port, { type: "stop" });
    this.#pages.add(port);
    return this.#say(port, { type: "go", context_path });
  }

  left(port) {
    this.#pages.delete(port);
  }

  /** A page of this tab told something: the first tab in which something is done is the scenario's, with those that it opens. */
  heard({ id: tab, openerTabId: opener }, message, now_ms) {
    if (!this.on) return;
    const held = this.#held;
    if (now_ms - held.started_ms > LONGEST_MS || held.events.length >= MOST) return this.#leaveOut("too_much");
    if (message?.type === "left_out" && LEFT_OUT.has(message.what)) return this.#leaveOut(message.what);
    const event = checked(message ?? {});
    if (event === null) return undefined;
    if (held.tab === null && event.type === "document") {
      held.first[tab] = { ...event, typed: true };
      return undefined;
    }
    if (held.tab === null) {
      held.tab = tab;
      held.tabs = [tab];
      if (held.first[tab]) held.events.push(held.first[tab]);
    }
    if (tab !== held.tab) {
      const isNew = held.tabs.includes(opener) && !held.tabs.includes(tab);
      if (!isNew && (event.type === "document" || !held.tabs.includes(tab))) return this.#leaveOut("other_tab");
      if (isNew) held.tabs.push(tab);
      held.events.push({ type: "tab", t: event.t - 1, last: event.t - 1, which: isNew ? "newest" : held.tabs.indexOf(tab) === 0 ? "first" : "previous" });
      held.tab = tab;
    }
    held.events.push(event);
    return undefined;
  }

  /** An action of this tab began or is over. */
  noted(tab, { action_id, action, phase, wall_ms, attrs }) {
    if (!this.on || this.#held.markers.length >= MOST) return;
    this.#held.markers.push({ tab, action_id, action, phase, wall_ms, evidence: attrs?.evidence });
  }

  #leaveOut(what) {
    this.#held.left_out[what] = (this.#held.left_out[what] ?? 0) + 1;
  }

  #say(port, message) {
    try {
      port.postMessage(message);
    } catch {
      this.#pages.delete(port); // gone
    }
  }
}
