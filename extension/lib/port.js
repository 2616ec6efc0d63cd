// The way to the background: batches. One is kept until the background has stored it and is sent again when the background has slept
// or died; the background drops doubles.
(() => {
  const own = (globalThis.tracemark ??= {});
  const BATCH = 200;
  const KEPT = 2000; // items that wait or are not yet stored
  const FIRST_MS = 300;
  const LONGEST_MS = 30000;

  own.Port = class {
    #port = null;
    #items = [];
    #unstored = [];
    #number = 0;
    #told = 0;
    #tab = undefined;
    #pause_ms = FIRST_MS;

    /** `connect()` throws when the extension is gone: then `gone()`. `heard(state)`: the background's word. */
    constructor({ connect, heard, gone, clock, later = (work, ms) => setTimeout(work, ms) }) {
      Object.assign(this, { connect, heard, gone, clock, later });
      this.counts = { dropped: 0, overloads: 0, bad_rules: 0, errors: 0 };
    }

    /** Dials anew; the background answers with its state. */
    open(top) {
      this.top = top;
      this.#port = null;
      this.#link();
    }

    add(item) {
      if (this.#unstored.reduce((sum, one) => sum + one.items.length, this.#items.length) >= KEPT) {
        this.counts.dropped += 1;
        return;
      }
      this.#items.push(item);
      if (this.#items.length >= BATCH) this.flush();
    }

    /** Sends what is there, and the counts when they have grown. */
    flush() {
      const counts = Object.values(this.counts).reduce((sum, one) => sum + one);
      if (this.#items.length === 0 && counts === this.#told) return;
      if (!this.#link()) return;
      this.#told = counts;
      const batch = { type: "items", items: this.#items.splice(0), clock: this.clock(), counts: { ...this.counts }, batch: (this.#number += 1) };
      this.#unstored.push(batch);
      this.say(batch);
    }

    say(message) {
      try {
        this.#port?.postMessage(message);
      } catch {
        this.#port = null; // it has just gone: what is not stored is sent again
      }
    }

    #link() {
      if (this.#port) return true;
      let port;
      try {
        port = this.connect();
      } catch {
        this.gone(); // "Extension context invalidated"
        return false;
      }
      port.onMessage.addListener((message) => {
        this.#pause_ms = FIRST_MS;
        if (message.type === "stored") this.#unstored = this.#unstored.filter((one) => one.batch !== message.batch);
        else if (message.type === "state") {
          this.#tab = message.tab ?? this.#tab;
          this.heard(message);
        }
      });
      port.onDisconnect.addListener(() => {
        if (this.#port !== port) return;
        this.#port = null;
        this.later(() => this.#link(), this.#pause_ms);
        this.#pause_ms = Math.min(2 * this.#pause_ms, LONGEST_MS);
      });
      this.#port = port;
      this.say({ type: "hello", top: this.top, tab: this.#tab });
      for (const batch of this.#unstored) this.say({ ...batch, again: true });
      return true;
    }
  };
})();
