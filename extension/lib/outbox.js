// What is recorded and not yet acknowledged by the sidecar: numbered per session, bounded, and on disk before it is sent.
//
// The store (lib/store.js; tests give one in memory) is read once and then only written to; every change waits for the one before.

export const BOUNDS = Object.freeze({ count: 50_000, bytes: 16 * 1024 * 1024, age_ms: 7 * 24 * 3600_000 });

/** So many delivered markers are remembered per session, so that one that a page sends again is not taken for a new one. */
const DELIVERED = 200;
/** Sessions of which only this is left to tell, that they lost something; older ones are forgotten, and stay in the counts. */
const MOST_OWING = 100;
/** Nothing is left of this session but numbers that the sidecar never saw: it is still to be told that they are lost. */
const owes = ({ entries, next, acked }) => entries.length === 0 && next - 1 > acked;
const keyOf = ({ action_id, phase }) => `${action_id} ${phase}`;

export class Outbox {
  #store;
  #bounds;
  #now_ms;
  #turn = Promise.resolve();
  #sessions = new Map();
  #named = new Map();
  #totals = { count: 0, bytes: 0, dropped: { count: 0, bytes: 0, age: 0, full: 0 }, deleted: 0 };

  constructor(store, now_ms, bounds = BOUNDS) {
    this.#store = store;
    this.#now_ms = now_ms;
    this.#bounds = bounds;
  }

  /** Take over what an earlier background left. */
  async load() {
    const { sessions, entries, counters } = await this.#store.load();
    for (const record of sessions) this.#sessions.set(record.session, { ...record, entries: [] });
    const isDone = ({ session, seq }) => !(seq > this.#sessions.get(session)?.acked);
    for (const entry of entries) if (!isDone(entry)) this.#sessions.get(entry.session).entries.push(entry);
    if (counters) {
      this.#totals.dropped = { ...this.#totals.dropped, ...counters.dropped };
      this.#totals.deleted = counters.deleted ?? 0;
    }
    this.#count();
    // What a full disk took only after it was given up as lost; the sidecar has been told, and its number is done.
    const stale = entries.filter(isDone);
    if (stale.length > 0) await this.#write({ drop: stale }).catch(() => undefined);
  }

  get totals() {
    const dropped = Object.values(this.#totals.dropped).reduce((sum, one) => sum + one, 0);
    return { count: this.#totals.count, bytes: this.#totals.bytes, dropped, dropped_by: { ...this.#totals.dropped }, deleted: this.#totals.deleted };
  }

  has(session) {
    return this.#sessions.has(this.#name(session));
  }

  /** What is waiting of a session, in order; `[]` when nothing. */
  entries(session) {
    return this.#sessions.get(this.#name(session))?.entries ?? [];
  }

  /** Whether this marker is waiting here or was delivered lately: a page sends again what it was not told to be stored. */
  holds(session, fields) {
    const record = this.#sessions.get(this.#name(session));
    const key = keyOf(fields);
    return record !== undefined && (record.entries.some((entry) => keyOf(entry.fields) === key) || record.done.includes(key));
  }

  /** The ticket that a session got, if any: `{ticket, expires_ms}`. */
  ticket(session) {
    return this.#sessions.get(session)?.ticket;
  }

  /** A session got this ticket. */
  keepTicket(session, ticket) {
    return this.#alone(async () => {
      const record = this.#sessions.get(session);
      if (!record) return;
      record.ticket = ticket;
      await this.#write({ sessions: [record] });
    });
  }

  /** What was recorded as `from` belongs to the session `to`, that the sidecar named: it continues that one's numbers. */
  adopt(from, to) {
    return this.#alone(async () => {
      const old = this.#sessions.get(from);
      if (!old || from === to) return;
      const record = this.#sessions.get(to) ?? { session: to, started_ms: old.started_ms, next: 1, acked: 0, welcomed: false, done: [], entries: [] };
      const moved = old.entries.map((entry, index) => ({ ...entry, session: to, seq: record.next + index }));
      const dropped = old.entries;
      record.entries.push(...moved);
      record.next += moved.length;
      this.#sessions.set(to, record);
      this.#sessions.delete(from);
      this.#named.set(from, to); // what is just being put under the old name comes after this
      await this.#write({ sessions: [record], forget: [from], put: moved, drop: dropped });
    });
  }

  /** `{acked, resume_seq, welcomed}` of a session, for its hello. */
  place(session) {
    const record = this.#sessions.get(session);
    if (!record) return { acked: 0, resume_seq: 1, welcomed: false };
    return { acked: record.acked, resume_seq: record.entries[0]?.seq ?? record.next, welcomed: record.welcomed };
  }

  /** Sessions that still have something to tell, the oldest first. */
  waiting() {
    return [...this.#sessions.values()]
      .filter((record) => record.entries.length > 0 || owes(record))
      .sort((a, b) => a.started_ms - b.started_ms)
      .map((record) => record.session);
  }

  /** A session begins; those that are over and delivered are forgotten, and what was lost of them is told. */
  begin(session, started_ms) {
    return this.#alone(async () => {
      const empty = [...this.#sessions.values()].filter((record) => record.session !== session && record.entries.length === 0);
      const owing = empty.filter(owes).sort((a, b) => b.started_ms - a.started_ms).slice(0, MOST_OWING);
      const over = empty.filter((record) => !owing.includes(record));
      for (const record of over) this.#sessions.delete(record.session);
      const record = this.#sessions.get(session) ?? { session, started_ms, next: 1, acked: 0, welcomed: false, done: [], entries: [] };
      this.#sessions.set(session, record);
      await this.#write({ sessions: [record], forget: over.map((one) => one.session) });
    });
  }

  /**
   * Number and keep `[{kind, fields, lead_ms}]`; they may be sent once this resolves. Returns how many old ones had to make room
   * (`dropped`) and whether these were kept at all (`kept`: false when the disk is full even after making room).
   */
  put(session, items) {
    return this.#alone(async () => {
      const record = this.#sessions.get(this.#name(session));
      if (!record) throw new Error(`the session ${session} was not begun`);
      const put_ms = this.#now_ms();
      const fresh = items.map((item, index) => {
        const entry = { session: record.session, seq: record.next + index, put_ms, ...item };
        return { ...entry, bytes: JSON.stringify(entry.fields).length + 100 };
      });
      const dropped = this.#trim(fresh);
      const next = record.next + fresh.length;
      for (let attempt = 0; ; attempt += 1) {
        try {
          await this.#write({ sessions: [{ ...record, next }], put: fresh, drop: dropped });
          break;
        } catch (error) {
          if (attempt === 0) {
            dropped.push(...this.#oldest(Math.max(fresh.length, Math.ceil(this.#totals.count / 10)), "full"));
            if (dropped.length > 0) continue;
          }
          this.#totals.dropped.full += fresh.length;
          record.next = next; // a hole in the numbers is how the sidecar hears of it
          return { kept: false, dropped: dropped.length, error };
        }
      }
      record.next = next;
      record.entries.push(...fresh);
      this.#count();
      return { kept: true, dropped: dropped.length };
    });
  }

  /** Everything of this session up to `seq` is durable at the sidecar. */
  acknowledge(session, seq) {
    return this.#alone(async () => {
      const record = this.#sessions.get(session);
      if (!record || seq <= record.acked) return;
      const done = record.entries.filter((entry) => entry.seq <= seq);
      record.entries = record.entries.filter((entry) => entry.seq > seq);
      record.acked = seq;
      record.done = [...record.done, ...done.map((entry) => keyOf(entry.fields))].slice(-DELIVERED);
      record.next = Math.max(record.next, seq + 1);
      this.#count();
      await this.#write({ sessions: [record], drop: done });
    });
  }

  /** The sidecar welcomed this session, and has everything up to `last_seq` of it. */
  welcomed(session, last_seq) {
    return this.#alone(async () => {
      const record = this.#sessions.get(session);
      if (!record) return;
      const lowest = record.entries[0]?.seq ?? record.next;
      if (!record.welcomed && last_seq >= lowest) await this.#shift(record, last_seq - lowest + 1);
      record.welcomed = true;
      if (owes(record)) record.acked = record.next - 1; // the hello has told it
      await this.#write({ sessions: [record] });
    }).then(() => this.acknowledge(session, last_seq));
  }

  /** Drop what is older than the bound; how many that were. */
  expire() {
    return this.#alone(async () => {
      const dropped = this.#expired();
      if (dropped.length > 0) await this.#write({ drop: dropped });
      this.#count();
      return dropped.length;
    });
  }

  /** The person wants nothing of this to be sent; how many that were. */
  clear() {
    return this.#alone(async () => {
      const gone = [...this.#sessions.values()].flatMap((record) => record.entries);
      for (const record of this.#sessions.values()) Object.assign(record, { entries: [], acked: record.next - 1 });
      this.#totals.deleted += gone.length;
      this.#count();
      await this.#write({ sessions: [...this.#sessions.values()], drop: gone });
      return gone.length;
    });
  }

  /** The sidecar knows this session from a time that this outbox does not remember: number anew, `by` higher. */
  async #shift(record, by) {
    const old = record.entries;
    record.entries = old.map((entry) => ({ ...entry, seq: entry.seq + by }));
    record.next += by;
    await this.#write({ drop: old, put: record.entries, sessions: [record] });
  }

  #name(session) {
    return this.#named.get(session) ?? session;
  }

  #trim(fresh) {
    const dropped = this.#expired();
    const needed = fresh.reduce((sum, entry) => sum + entry.bytes, 0);
    this.#count();
    const surplus = this.#totals.count + fresh.length - this.#bounds.count;
    if (surplus > 0) dropped.push(...this.#oldest(surplus, "count"));
    while (this.#totals.count > 0 && this.#totals.bytes + needed > this.#bounds.bytes) {
      dropped.push(...this.#oldest(Math.max(1, Math.ceil(this.#totals.count / 100)), "bytes"));
    }
    return dropped;
  }

  #expired() {
    const limit_ms = this.#now_ms() - this.#bounds.age_ms;
    const gone = [];
    for (const record of this.#sessions.values()) {
      const count = record.entries.findIndex((entry) => entry.put_ms >= limit_ms);
      gone.push(...record.entries.splice(0, count < 0 ? record.entries.length : count));
    }
    this.#totals.dropped.age += gone.length;
    return gone;
  }

  #oldest(count, why) {
    const gone = [];
    for (const session of this.waiting()) {
      const { entries } = this.#sessions.get(session);
      gone.push(...entries.splice(0, count - gone.length));
      if (gone.length === count) break;
    }
    this.#totals.dropped[why] += gone.length;
    this.#count();
    return gone;
  }

  #count() {
    let count = 0;
    let bytes = 0;
    for (const record of this.#sessions.values()) {
      count += record.entries.length;
      for (const entry of record.entries) bytes += entry.bytes;
    }
    this.#totals.count = count;
    this.#totals.bytes = bytes;
  }

  #write({ sessions = [], forget = [], put = [], drop = [] }) {
    return this.#store.write({
      sessions: sessions.map(({ entries, ...record }) => record),
      forget,
      put,
      drop: drop.map((entry) => [entry.session, entry.seq]),
      counters: { dropped: this.#totals.dropped, deleted: this.#totals.deleted },
    });
  }

  #alone(change) {
    const turn = this.#turn.then(change);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}
