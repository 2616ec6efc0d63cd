// The marker channel, the extension's end, as a state machine: messages and times in, effects out; no socket, no timer, no store.
// What is said is in tests/contract; the sidecar's end is sidecar/markers/channel.py, the replayer's replay/marker_link.py.

export const VERSION = 1;
export const FIRST_PINGS = 8;
export const LATER_PINGS = 3;
/** Markers in one message, far below the 64 KiB that a message may have. */
const MARKERS_IN_MESSAGE = 100;
/** Entries that may be sent and not yet acknowledged. */
const WINDOW = 1000;
/** To come back would not help: a bad message, not allowed, another version, too large. */
const FINAL_CODES = new Set([4400, 4401, 4409, 4413]);
const NS = 1e6;

export class Conversation {
  #sent;
  #notice = null;

  /** `acked`: everything up to it is done; `resume_seq`: the lowest seq that the outbox still has. */
  constructor({ session, client, credentials, acked, resume_seq, welcomed }) {
    this.session = session;
    this.state = "new";
    this.role = null;
    this.pongs = 0;
    this.acked = acked;
    this.#sent = acked;
    this.hello = { type: "hello", version: VERSION, source: "extension", client, session, ...credentials };
    // A session that the sidecar has never seen starts at 1, unless the outbox had to drop its first ones.
    if (welcomed || resume_seq > 1) this.hello.resume_seq = resume_seq;
  }

  /** The sidecar said this at `now_ms` of our timeline; returns what to do about it. */
  hear(text, now_ms) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return [{ do: "leave", why: "the sidecar's answer is no JSON" }];
    }
    switch (message?.type) {
      case "welcome":
        return this.#welcome(message);
      case "ack":
        if (!Number.isSafeInteger(message.seq) || message.seq <= this.acked) return [];
        this.acked = message.seq;
        return [{ do: "acknowledged", seq: message.seq }];
      case "pong":
        this.pongs += 1;
        return [
          {
            do: "compared",
            exchange: { sent_ms: message.t0_ns / NS, received_ms: now_ms, t1_ms: message.t1_ns / NS, t2_ms: message.t2_ns / NS },
          },
        ];
      case "error":
        return this.#error(message);
      default:
        return [{ do: "leave", why: "the sidecar's answer is not understood" }];
    }
  }

  ping(now_ms) {
    return { type: "ping", t0_ns: Math.round(now_ms * NS) };
  }

  /** The next messages for entries `{seq, kind, fields}`, all that the outbox has, in order; `complete` makes them ready to be sent. */
  tell(entries, complete = (entry) => entry) {
    if (this.state !== "open") return [];
    const messages = [];
    let markers = null;
    for (const stored of entries) {
      if (stored.seq <= this.#sent) continue;
      if (stored.seq > this.acked + WINDOW) break;
      this.#sent = stored.seq;
      const entry = complete(stored);
      if (entry.kind !== "marker") {
        messages.push({ type: entry.kind, seq: entry.seq, ...entry.fields });
        markers = null;
      } else if (markers && markers.items.length < MARKERS_IN_MESSAGE) {
        markers.items.push({ seq: entry.seq, ...entry.fields });
      } else {
        markers = { type: "markers", items: [{ seq: entry.seq, ...entry.fields }] };
        messages.push(markers);
      }
    }
    return messages;
  }

  /** Whether the sidecar waits for numbers before these entries that are gone, and this hello did not say so: only another one can. */
  isHeldUp([first]) {
    return this.state === "open" && first !== undefined && first.seq > Math.max(this.acked + 1, this.hello.resume_seq ?? 1);
  }

  /** Everything that is not acknowledged is to be sent again. */
  rewind() {
    this.#sent = this.acked;
  }

  /** What the end of the connection means: `{final, code, message, retry_after_ms}`. */
  closed(close_code) {
    const notice = this.#notice;
    const replaced = notice?.code === "replaced";
    this.state = "closed";
    return {
      final: replaced || FINAL_CODES.has(close_code),
      code: notice?.code ?? (FINAL_CODES.has(close_code) ? "refused" : "lost"),
      message: notice?.message ?? "",
      retry_after_ms: notice?.retry_after_ms ?? 0,
    };
  }

  #welcome(message) {
    if (this.state !== "new" || !Number.isSafeInteger(message.last_seq)) return [];
    this.state = "open";
    this.role = message.role ?? null;
    this.acked = Math.max(this.acked, message.last_seq);
    this.#sent = this.acked;
    return [{ do: "welcomed", last_seq: message.last_seq }];
  }

  #error(message) {
    if (message.seq !== undefined) return [{ do: "refused", seq: message.seq, code: message.code, message: message.message }];
    this.#notice = message;
    // The journal is full or failed: nothing was stored, the connection stays, everything goes again a little later.
    if (message.code?.startsWith("journal_")) return [{ do: "again", after_ms: message.retry_after_ms ?? 5000, code: message.code }];
    return [];
  }
}

/** Pauses before a reconnect: half a second, doubling to half a minute, each shortened by chance so that not all come at once. */
export class Backoff {
  #shortest_ms;
  #longest_ms;
  #pause_ms = 0;

  constructor(shortest_ms = 500, longest_ms = 30_000) {
    this.#shortest_ms = shortest_ms;
    this.#longest_ms = longest_ms;
  }

  reset() {
    this.#pause_ms = 0;
  }

  next(random, retry_after_ms = 0) {
    this.#pause_ms = this.#pause_ms === 0 ? this.#shortest_ms : Math.min(this.#longest_ms, this.#pause_ms * 2);
    return Math.max(retry_after_ms, this.#pause_ms * (0.5 + random / 2));
  }
}
