// Stand-ins for the outbox's disk, the browser, the socket and the clocks.
import { readFileSync } from "node:fs";

/** The store in memory; `full` makes every write that puts something fail, as a full disk does. */
export class MemoryStore {
  entries = new Map();
  sessions = new Map();
  counters = undefined;
  full = false;

  async load() {
    const order = (a, b) => (a.session < b.session ? -1 : a.session > b.session ? 1 : a.seq - b.seq);
    return structuredClone({ sessions: [...this.sessions.values()], entries: [...this.entries.values()].sort(order), counters: this.counters });
  }

  async write({ sessions, forget, put, drop, counters }) {
    if (this.full && put.length > 0) throw Object.assign(new Error("no room"), { name: "QuotaExceededError" });
    for (const [session, seq] of drop) this.entries.delete(`${session}/${seq}`);
    for (const entry of put) this.entries.set(`${entry.session}/${entry.seq}`, structuredClone(entry));
    for (const record of sessions) this.sessions.set(record.session, structuredClone(record));
    for (const session of forget) this.sessions.delete(session);
    this.counters = structuredClone(counters);
  }
}

/** A sidecar that stores what it is told once, behind WebSockets that it makes. */
export class FakeSidecar {
  stored = new Map();
  last = new Map();
  hellos = [];
  sockets = [];
  up = true;
  /** Message to answer a hello with, and the code to close with after it. */
  refusal = null;
  mute = false;
  /** So long a ping is on its way, there and back alike. */
  late_ms = 0;
  pings = 0;

  dial = () => {
    const socket = { readyState: 0, send: (text) => this.#heard(socket, JSON.parse(text)), close: (code = 1005) => this.#close(socket, code) };
    this.sockets.push(socket);
    queueMicrotask(() => {
      if (!this.up) return this.#close(socket, 1006);
      socket.readyState = 1;
      socket.onopen?.();
    });
    return socket;
  };

  markers(session) {
    return [...(this.stored.get(session)?.values() ?? [])];
  }

  drop() {
    for (const socket of this.sockets) if (socket.readyState === 1) this.#close(socket, 1006);
  }

  #close(socket, code) {
    if (socket.readyState === 3) return;
    socket.readyState = 3;
    queueMicrotask(() => socket.onclose?.({ code }));
  }

  #say(socket, message) {
    queueMicrotask(() => socket.readyState === 1 && socket.onmessage?.({ data: JSON.stringify(message) }));
  }

  #heard(socket, message) {
    if (message.type === "hello") {
      this.hellos.push(message);
      socket.session = message.session;
      if (this.refusal) {
        socket.onmessage?.({ data: JSON.stringify(this.refusal.say) });
        this.#close(socket, this.refusal.code);
        return;
      }
      const last = Math.max(this.last.get(message.session) ?? 0, (message.resume_seq ?? 1) - 1);
      this.last.set(message.session, last);
      this.#say(socket, { type: "welcome", session: message.session, role: null, last_seq: last, time_ns: 1 });
    } else if (message.type === "ping") {
      this.pings += 1;
      const [t0_ns, met_ns] = [message.t0_ns - this.late_ms * 1e6, message.t0_ns - (this.late_ms / 2) * 1e6]; // time stands still here
      this.#say(socket, { type: "pong", t0_ns, t1_ns: met_ns, t2_ns: met_ns });
    } else {
      const stored = this.stored.get(socket.session) ?? new Map();
      this.stored.set(socket.session, stored);
      for (const item of message.items ?? [message]) if (!stored.has(item.seq)) stored.set(item.seq, item);
      let last = this.last.get(socket.session);
      while (stored.has(last + 1)) last += 1;
      this.last.set(socket.session, last);
      if (!this.mute) this.#say(socket, { type: "ack", seq: last });
    }
  }
}

const CATALOGUE = JSON.parse(readFileSync(new URL("../../../../sidecar/model/catalogue.json", import.meta.url), "utf8"));

/** The browser's API under our words (lib/browser_calls.js), with everything in the open. */
export function fakeBrowser({ managed = {}, local = {}, session = {}, origins = [], downloads = false } = {}) {
  const held = { managed, local, session, origins: new Set(origins), downloads, registered: [], badges: new Map(), alarms: new Map(), opened: [], injected: [], tickets: [] };
  return {
    held,
    id: "us",
    url: (path) => `chrome-extension://us/${path}`,
    version: () => "0.1.0",
    stayAwake: () => (held.awake = (held.awake ?? 0) + 1),
    readLocal: async () => structuredClone(held.local),
    writeLocal: async (values) => void Object.assign(held.local, structuredClone(values)),
    readSession: async () => structuredClone(held.session),
    writeSession: async (values) => void Object.assign(held.session, structuredClone(values)),
    readManaged: async () => structuredClone(held.managed),
    setAlarm: (name, when) => held.alarms.set(name, when),
    clearAlarm: async (name) => void held.alarms.delete(name),
    hasOrigins: async (wanted) => wanted.every((one) => held.origins.has(one)),
    hasDownloads: async () => held.downloads,
    hasRequests: async () => held.requests ?? false,
    registered: async () => held.registered,
    register: async (script) => void held.registered.push(script),
    unregister: async (ids) => void (held.registered = held.registered.filter((script) => !ids.includes(script.id))),
    inject: async (tab, files) => void held.injected.push([tab, files]),
    canLabel: () => held.can_label ?? true,
    labelRequests: async (rules) => void (held.labels = rules),
    injectTop: async (tab, files) => void held.injected.push([tab, files]),
    ask: async (tab, func, args) => held.tickets.shift()?.(...args),
    tabsOn: async () => [{ id: 7 }],
    openTab: async (path) => void held.opened.push(path),
    setBadge: async (tab, badge) => void held.badges.set(tab, badge),
    watchDownloads: () => held.downloads,
    watchRequests: () => false,
    download: async (id) => ({ id, fileSize: 2000 }),
    catalogue: CATALOGUE,
  };
}

/** A document of a site, as the background sees it. */
export function fakePort({ url = "https://xnat.example.org/app", tab = 7, frameId = 0 } = {}) {
  const listeners = { message: [], disconnect: [] };
  return {
    name: "tracemark",
    sender: { id: "us", url, origin: new URL(url).origin, tab: { id: tab }, frameId },
    said: [],
    postMessage(message) {
      this.said.push(structuredClone(message));
    },
    onMessage: { addListener: (listener) => listeners.message.push(listener) },
    onDisconnect: { addListener: (listener) => listeners.disconnect.push(listener) },
    tell: (message) => listeners.message.forEach((listener) => listener(message)),
    leave: () => listeners.disconnect.forEach((listener) => listener()),
    get state() {
      return this.said.filter((message) => message.type === "state").at(-1);
    },
  };
}

/** Let everything that can happen without time passing happen. */
export async function settle(rounds = 60) {
  for (let round = 0; round < rounds; round += 1) await new Promise(setImmediate);
}
