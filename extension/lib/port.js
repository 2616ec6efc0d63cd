// The way to the background: batches every 250 ms, at 200 items, and when the page is left; reconnects when the background has slept.
(() => {
  const own = (globalThis.tracemark ??= {});
  const PAUSE_MS = 250;
  const BATCH = 200;
  const KEPT = 2000;

  own.Port = class {
    /** `connect()` gives a port and throws when the extension is gone; `gone()` is told so once. */
    constructor({ connect, heard, gone, clock, later = setTimeout }) {
      Object.assign(this, { connect, heard, gone, clock, later });
      this.items = [];
      this.counts = { dropped: 0, overloads: 0, bad_rules: 0 };
      this.port = null;
      this.planned = false;
      this.told = "";
    }

    open(top) {
      this.top = top;
      if (this.link()) this.say({ type: "open" });
    }

    add(item) {
      if (this.items.length >= KEPT) {
        this.items.shift();
        this.counts.dropped += 1;
      }
      this.items.push(item);
      if (this.items.length >= BATCH) this.flush();
      else this.plan();
    }

    plan() {
      if (this.planned) return;
      this.planned = true;
      this.later(() => {
        this.planned = false;
        this.flush();
      }, PAUSE_MS);
    }

    flush() {
      const counts = JSON.stringify(this.counts);
      if (this.items.length === 0 && counts === this.told) return;
      while (this.items.length > 0 || counts !== this.told) {
        const items = this.items.slice(0, BATCH);
        if (!this.link() || !this.say({ type: "items", items, clock: this.clock(), counts: this.counts })) return;
        this.items.splice(0, items.length);
        this.told = counts;
      }
    }

    say(message) {
      try {
        this.port.postMessage(message);
        return true;
      } catch {
        this.port = null; // the background has just gone to sleep: the next flush wakes it
        return false;
      }
    }

    link() {
      if (this.port) return true;
      try {
        const port = this.connect();
        port.onMessage.addListener(this.heard);
        port.onDisconnect.addListener(() => {
          if (this.port === port) this.port = null;
          if (this.items.length > 0) this.plan();
        });
        this.port = port;
        return this.say({ type: "hello", top: this.top });
      } catch {
        this.gone(); // "Extension context invalidated"
        return false;
      }
    }

    close() {
      this.port?.disconnect();
      this.port = null;
    }
  };
})();
