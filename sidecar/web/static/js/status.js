// Whether the page lives, in words beside the name, and what went wrong.

import { ApiError } from "./api.js";
import { byId } from "./dom.js";
import { clock, length } from "./format.js";

const SILENT_MS = 10000;

export class Status {
  #lastAnswer = Date.now();
  failing = false;

  loading() {
    document.documentElement.dataset.busy = "yes";
    say("loading…", "still");
  }

  get busy() {
    return document.documentElement.dataset.busy === "yes";
  }

  /** The sidecar has answered; `last` is the time of the newest sample in the range, 0 when there is none. */
  answered(state, last, now) {
    this.failing = false;
    this.#lastAnswer = Date.now();
    delete document.documentElement.dataset.busy;
    byId("problem").hidden = true;
    if (!state.live) say("looking back", "still");
    else if (state.paused) say(`paused at ${clock(state.view.to)}`, "still");
    else if (!last) say("live, no samples", "still");
    else if (now - last > SILENT_MS) say(`no sample for ${length(now - last)}`, "bad");
    else say("live", "good");
  }

  /** A question was not answered, or was refused; whatever else was thrown is thrown on. */
  failed(error) {
    if (error.name === "AbortError") return; // the range has changed meanwhile
    if (!(error instanceof ApiError)) throw error;
    this.failing = true;
    say(error.status ? "refused" : "not connected", "bad");
    byId("problem").hidden = false;
    byId("problem").textContent = error.status
      ? error.message
      : `The sidecar has not answered since ${clock(this.#lastAnswer)}. Trying again; is \`tracemark serve\` running?`;
  }
}

function say(text, look) {
  byId("live").dataset.look = look;
  // It is read aloud when it changes, so it changes only when there is news.
  if (byId("live-text").textContent !== text) byId("live-text").textContent = text;
}
