// The connection to the sidecar: dials, says hello, compares clocks, sends what the outbox holds, and comes back after every loss.
// What is said and what an answer means is lib/channel.js; this file has the socket and the timers.

import { Backoff, Conversation, FIRST_PINGS, LATER_PINGS } from "./channel.js";

const OPEN_TIMEOUT_MS = 5000;
const HELLO_TIMEOUT_MS = 10_000;
/** Nothing heard for so long although we ping every 20 s: the connection is dead. */
const SILENCE_MS = 50_000;

export class Link {
  #ports;
  #backoff = new Backoff();
  #settings = null;
  #live = null;
  #wanted = false;
  #talk = null;
  #pause = null;
  #loop = null;
  state = "off";
  /** Why there is no connection although there should be one: `{code, message}`; null when all is well. */
  trouble = null;
  role = null;
  connected = 0;
  refused = 0;

  /**
   * `ports`: dial(url) -> WebSocket, outbox, estimator, now_ms() (our timeline), complete(entry) (fields as they are sent),
   * credentials(session) -> Promise of {session (as the sidecar names it), token or ticket or neither}, forgetCredentials(session),
   * random(), sent(message), changed().
   */
  constructor(ports) {
    this.#ports = ports;
  }

  /** `{url, client, final_401}`, or null to stay away; a change begins anew. */
  configure(settings) {
    if (JSON.stringify(settings) === JSON.stringify(this.#settings)) return;
    this.#settings = settings;
    this.again();
  }

  /** `session`: the one that is recorded now; `wanted`: whether to stay connected although nothing is waiting. */
  follow(session, wanted) {
    this.#live = session;
    this.#wanted = wanted;
    this.poke();
  }

  /** Forget refusals and pauses, and dial now. */
  again() {
    this.trouble = null;
    this.#backoff.reset();
    this.#talk?.end();
    this.state = "off";
    this.#pause?.();
    this.poke();
  }

  /** The outbox lost something that the sidecar may be waiting for: a new hello tells it. */
  restart() {
    this.#backoff.reset();
    this.#talk?.end();
  }

  /** There may be something to do. */
  poke() {
    this.#talk?.pump();
    if (this.#loop === null && this.state !== "refused" && this.#next() !== null) {
      this.#loop = this.#run().finally(() => {
        this.#loop = null;
        if (this.state !== "refused" && this.#next() !== null) this.poke();
      });
    }
  }

  /** The regular sign of life; also compares the clocks again. */
  beat() {
    this.#talk?.beat();
  }

  /** The session to talk about next: what an earlier one left comes first; null when there is nothing to do. */
  #next() {
    if (!this.#settings || this.#live === null) return null;
    const waiting = this.#ports.outbox.waiting();
    return waiting.find((session) => session !== this.#live) ?? waiting[0] ?? (this.#wanted ? this.#live : null);
  }

  async #run() {
    for (let session = this.#next(); session !== null; session = this.#next()) {
      const settings = this.#settings;
      this.#enter("connecting");
      const verdict = await this.#attempt(session, settings);
      if (verdict === null || settings !== this.#settings) continue;
      if (verdict.final) {
        this.trouble = verdict;
        this.#enter("refused");
        return;
      }
      this.trouble = verdict;
      this.#enter("waiting");
      await this.#sleep(this.#backoff.next(this.#ports.random(), verdict.retry_after_ms));
    }
    this.#enter("idle");
  }

  /** One connection from dialling to its end; null when it ended as we wanted, else why it did not. */
  async #attempt(recorded, settings) {
    let session;
    let credentials;
    try {
      ({ session, ...credentials } = await this.#ports.credentials(recorded));
    } catch (error) {
      if (!error.code) throw error;
      return { final: false, code: error.code, message: error.message, retry_after_ms: error.retry_after_ms ?? 0 };
    }
    let socket;
    try {
      socket = this.#ports.dial(settings.url);
    } catch (error) {
      return { final: true, code: "address", message: `${settings.url} is refused by the browser (${error.name}).` };
    }
    const conversation = new Conversation({ session, client: settings.client, credentials, ...this.#ports.outbox.place(session) });
    const talk = new Talk(socket, conversation, {
      ...this.#ports,
      finished: () => this.#next() !== session,
      welcomed: () => {
        this.#backoff.reset();
        this.connected += 1;
        this.role = conversation.role;
        this.trouble = null;
        this.#enter("open");
      },
      refused: (count) => (this.refused += count),
      troubled: (trouble) => {
        this.trouble = trouble;
        this.#ports.changed();
      },
    });
    this.#talk = talk;
    const verdict = await talk.over;
    this.#talk = null;
    if (verdict?.code === "not_allowed") {
      await this.#ports.forgetCredentials(session);
      return { ...verdict, final: verdict.final && settings.final_401 };
    }
    return verdict;
  }

  #enter(state) {
    if (state === "idle") this.trouble = null;
    if (this.state === state) return;
    this.state = state;
    this.#ports.changed();
  }

  #sleep(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#pause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** One connection's life. `over` resolves with null when we ended it, else with the verdict. */
class Talk {
  #socket;
  #conversation;
  #ports;
  #timers = new Set();
  #pings = FIRST_PINGS;
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
        else if (!this.#ready) {
          this.#ready = true;
          this.#write(() => undefined);
        }
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
