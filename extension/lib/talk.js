// One connection to the sidecar: says hello, compares clocks, sends what the outbox holds, hears what became of it. What is said and what
// an answer means is lib/channel.js; this file has the socket and the timers.

import { FIRST_PINGS, LATER_PINGS } from "./channel.js";

const OPEN_TIMEOUT_MS = 5000;
const HELLO_TIMEOUT_MS = 10_000;
/** Nothing heard for so long although we ping every 20 s: the connection is dead. */
const SILENCE_MS = 50_000;
/** The first pings may have met a busy machine: with a wider bound the clocks are compared again soon, then ever later. */
const WIDE_MS = 10;
const SOON_MS = 1000;
const LATEST_MS = 8000;

/** One connection's life. `over` resolves with null when we ended it, else with the verdict. */
export class Talk {
  #socket;
  #conversation;
  #ports;
  #timers = new Set();
  #pings = FIRST_PINGS;
  #soon_ms = SOON_MS;
  #ready = false;
  #hold = false;
  #ended = false;
  #heard_ms;
  #work = Promise.resolve();

  constructor(socket, conversation, ports) {
    this.#socket = socket;
    this.#conversation = conversation;
    this.#ports = ports;
    this.#heard_ms = ports.now_ms();
    this.over = new Promise((resolve) => {
      socket.onclose = (event) => {
        this.#timers.forEach(clearTimeout);
        // What was heard is still to be written down before anybody dials again.
        this.#work.then(() => resolve(this.#ended ? null : conversation.closed(event.code)));
      };
    });
    socket.onopen = () => {
      this.#send(conversation.hello);
      this.#after(HELLO_TIMEOUT_MS, () => conversation.state === "new" && socket.close());
    };
    socket.onmessage = (event) => this.#hear(event.data);
    this.#after(OPEN_TIMEOUT_MS, () => socket.readyState === 0 && socket.close());
  }

  end() {
    this.#ended = true;
    this.#socket.close(1000);
  }

  beat() {
    if (this.#conversation.state !== "open") return;
    if (this.#ports.now_ms() - this.#heard_ms > SILENCE_MS) {
      this.#socket.close();
      return;
    }
    if (this.#pings === 0) {
      this.#pings = LATER_PINGS;
      this.#send(this.#conversation.ping(this.#ports.now_ms()));
    }
  }

  pump() {
    if (!this.#ready || this.#hold || this.#socket.readyState !== 1) return;
    const entries = this.#ports.outbox.entries(this.#conversation.session);
    if (this.#conversation.isHeldUp(entries)) {
      this.end(); // the next hello says what was lost
      return;
    }
    for (const message of this.#conversation.tell(entries, this.#ports.complete)) {
      this.#send(message);
      this.#ports.sent(message);
    }
    if (entries.length === 0 && this.#ports.finished()) this.end();
  }

  #hear(text) {
    const now_ms = this.#ports.now_ms();
    this.#heard_ms = now_ms;
    for (const effect of this.#conversation.hear(text, now_ms)) this.#do(effect);
  }

  #do(effect) {
    const { outbox, estimator } = this.#ports;
    const { session } = this.#conversation;
    switch (effect.do) {
      case "welcomed":
        this.#write(() => outbox.welcomed(session, effect.last_seq));
        this.#send(this.#conversation.ping(this.#ports.now_ms()));
        this.#ports.welcomed();
        break;
      case "acknowledged":
        this.#write(() => outbox.acknowledge(session, effect.seq));
        this.#ports.troubled(null);
        break;
      case "compared":
        estimator.add(effect.exchange);
        this.#pings = Math.max(0, this.#pings - 1);
        if (this.#pings > 0) this.#send(this.#conversation.ping(this.#ports.now_ms()));
        else this.#compared();
        break;
      case "refused":
        this.#ports.refused(1);
        break;
      case "again":
        this.#hold = true;
        this.#ports.troubled({ code: effect.code, message: "" });
        this.#after(effect.after_ms, () => {
          this.#hold = false;
          this.#conversation.rewind();
          this.pump();
        });
        break;
      case "leave":
        this.#socket.close();
        break;
    }
  }

  /** Enough for now: markers may go, and a bound that is still wide is narrowed soon. */
  #compared() {
    if (!this.#ready) {
      this.#ready = true;
      this.#write(() => undefined);
    }
    const { estimator, now_ms } = this.#ports;
    if (this.#soon_ms > LATEST_MS || !(estimator.at(now_ms())?.error_ms > WIDE_MS)) return;
    this.#after(this.#soon_ms, () => this.beat());
    this.#soon_ms *= 2;
  }

  /** Changes of the outbox one after the other; a disk that fails costs only a repeated message. */
  #write(change) {
    this.#work = this.#work
      .then(change)
      .catch(() => undefined)
      .then(() => this.pump());
  }

  #send(message) {
    if (this.#socket.readyState === 1) this.#socket.send(JSON.stringify(message));
  }

  #after(ms, what) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      what();
    }, ms);
    this.#timers.add(timer);
  }
}
