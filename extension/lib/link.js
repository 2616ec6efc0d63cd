// The connections to the sidecar: dials for the session whose turn it is, and comes back after every loss.
// What is said and what an answer means is lib/channel.js; one connection's life is lib/talk.js.

import { Backoff, Conversation } from "./channel.js";
import { Talk } from "./talk.js";

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
