// The live page: what is looked at, the loops that keep it fresh, and who draws what.

import { get } from "./api.js";
import { Catalogue } from "./catalogue.js";
import { listSessions, showRange, wire } from "./controls.js";
import { byId } from "./dom.js";
import { Feed, MOST_ACTIONS } from "./feed.js";
import { clock, day, length, ns, stretch } from "./format.js";
import { cards } from "./health.js";
import { Lanes } from "./lanes.js";
import { every } from "./loops.js";
import { repaint } from "./paint.js";
import { Panels } from "./panels.js";
import { Status } from "./status.js";
import { actionTip, Tip } from "./tip.js";
import { UsageView } from "./usage.js";

const RETRY_MS = 2000;
const HEALTH_MS = 5000;
const HEADROOM_MS = 10000;
const SHORTEST_MS = 1000;

class Page {
  state = {
    live: true, // the right edge follows the clock
    paused: false,
    span: 900e3,
    view: { from: Date.now() - 900e3, to: Date.now() },
    source: "",
    session: "",
    hidden: new Set(), // names of actions that are switched off
  };

  constructor(catalogue, status) {
    this.status = status;
    this.feed = new Feed();
    this.tip = new Tip(byId("tip"), byId("spoken"));
    this.skew = 0; // the sidecar's clock minus this machine's
    this.wholeAt = 0; // when all that is in the range was last asked for
    this.panels = new Panels(catalogue, this.tip, { zoom: (from, to) => this.zoom(from, to), reset: () => this.follow() });
    this.lanes = new Lanes(byId("lanes"), catalogue, {
      hover: (action, x, y, keyed) =>
        action ? this.tip.show(actionTip(action, catalogue), x, y + 14, keyed) : this.tip.hide(),
      choose: () => this.draw(),
    });
    this.usage = new UsageView(catalogue, this.state.hidden);
    byId("chips").replaceChildren(...catalogue.chips(this.state.hidden, () => this.refilter({})));
    wire(this.state, {
      follow: (span) => this.follow(span),
      zoom: (from, to) => this.zoom(from, to),
      pause: () => this.pause(),
      refilter: (change) => this.refilter(change),
      recolour: () => this.recolour(),
      older: () => this.zoom(this.feed.newest - this.state.span, this.feed.newest + 1000),
    });
  }

  /** Begin to ask. Curves at the live edge twice a second; sums, which are costly over a long range, more rarely. */
  start() {
    const { state } = this;
    const linked = linkedRange(location.search);
    if (linked) Object.assign(state, { live: false, view: linked });
    showRange(state);
    this.pollCurves = every(
      () => (this.status.failing ? RETRY_MS : state.span > 7200e3 ? 900 : 500),
      () => this.curves(),
    );
    this.pollUsage = every(
      () => Math.min(60e3, Math.max(3000, state.span / 200)),
      () => (state.paused ? null : this.sums()),
    );
    every(() => HEALTH_MS, () => this.health());
    if (document.documentElement.dataset.capacity === "yes") every(() => HEADROOM_MS, () => this.headroom());
    new ResizeObserver(() => {
      this.panels.resize();
      this.draw();
    }).observe(document.querySelector("main"));
  }

  now() {
    return Date.now() + this.skew;
  }

  // -- what is looked at

  look(change) {
    Object.assign(this.state, change);
    delete document.documentElement.dataset.ready;
    this.feed.restart();
    this.wholeAt = 0;
    this.tip.hide();
    this.status.loading();
    showRange(this.state);
    this.pollCurves();
  }

  zoom(from, to) {
    const middle = (from + to) / 2;
    const half = Math.max(SHORTEST_MS, to - from) / 2;
    this.look({ live: false, paused: false, view: { from: middle - half, to: middle + half } });
  }

  follow(span = this.state.span) {
    this.look({ live: true, paused: false, span, view: { from: this.now() - span, to: this.now() } });
  }

  pause() {
    const { state } = this;
    if (state.paused || !state.live) return this.follow();
    state.paused = true;
    state.view = { from: this.now() - state.span, to: this.now() };
    showRange(state);
    this.status.answered(state, this.feed.last, this.now());
    this.draw();
  }

  refilter(change) {
    Object.assign(this.state, change);
    this.tip.hide();
    this.draw();
    if (this.state.paused) this.sums();
    else this.pollUsage();
  }

  recolour() {
    repaint();
    this.panels.redraw();
    this.draw();
  }

  // -- asking

  async curves() {
    const { state, feed } = this;
    // Now and then everything is asked for again: actions that were told late, containers that came or went.
    const whole = Date.now() - this.wholeAt > Math.max(15e3, state.span / 500);
    if ((state.paused && this.wholeAt) || (!state.live && !whole)) return;
    if (state.live && !state.paused) state.view = { from: this.now() - state.span, to: this.now() };
    if (whole) this.wholeAt = Date.now();
    try {
      await feed.poll(state.view, whole);
      const fresh = this.status.busy;
      this.status.answered(state, feed.last, this.now());
      this.draw();
      if (fresh) this.pollUsage(); // the curves of a new range come first
    } catch (error) {
      if (whole) this.wholeAt = 0;
      this.status.failed(error);
    }
  }

  async sums() {
    const { from, to } = this.state.view;
    const { source, session } = this.state;
    try {
      const answer = await this.feed.ask("usage", { from: ns(from), to: ns(to), source, session });
      byId("usage-range").textContent = stretch(from, to, this.now());
      this.usage.show(answer);
      // Curves, lanes and table of the chosen range are drawn: whoever takes a picture waits for this.
      if (!this.status.busy) document.documentElement.dataset.ready = "true";
    } catch (error) {
      this.status.failed(error);
    }
  }

  async health() {
    try {
      const answer = await get("health");
      this.skew = answer.time_ns / 1e6 - Date.now();
      byId("health").replaceChildren(...cards(answer));
    } catch (error) {
      this.status.failed(error);
    }
  }

  async headroom() {
    try {
      const { users, limiting } = await get("capacity");
      byId("headroom").hidden = false;
      byId("headroom-text").textContent =
        users && limiting
          ? `${Math.floor(users.estimate)} users (90 %: ${Math.floor(users.low)}–${Math.floor(users.high)}) until ` +
            `${limiting.resource} of ${limiting.container} is the first limit.`
          : "Not known yet: too little has been measured.";
    } catch (error) {
      byId("headroom").hidden = true;
      this.status.failed(error);
    }
  }

  // -- drawing

  shown() {
    const { view, hidden, session, source } = this.state;
    const told = (one) => !source || (source === "real" ? one.source !== "replay" : one.source === source);
    return this.feed.actions
      .filter((one) => one.end > view.from && one.start < view.to && !hidden.has(one.name))
      .filter((one) => (!session || one.session === session) && told(one))
      .sort((a, b) => a.start - b.start);
  }

  draw() {
    const { view } = this.state;
    const { feed } = this;
    const actions = this.shown();
    const points = this.panels.show(feed, actions, view);
    byId("curves").hidden = points === 0;
    byId("empty").hidden = points > 0;
    byId("older").hidden = feed.newest === 0;
    byId("older-when").textContent = `${day(feed.newest)} ${clock(feed.newest)}`;
    const { sessions, shared } = this.lanes.show(actions, view);
    byId("lanes-empty").hidden = sessions > 0;
    byId("lanes-note").textContent =
      `${sessions} ${sessions === 1 ? "session" : "sessions"}, ${actions.length} actions` +
      (shared ? "; a lane per role, choose a shorter range for a lane per session" : "") +
      (feed.suppressed ? `; ${feed.suppressed} actions of few people are not shown` : "") +
      (feed.more ? `; only the first ${MOST_ACTIONS} actions of this range are loaded` : "");
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "local time";
    byId("shown").textContent = `${stretch(view.from, view.to, this.now())} (${length(view.to - view.from)}, ${zone})`;
    listSessions(this.state, feed.actions);
  }
}

/** The range that a link names: `?from=…&to=…` in nanoseconds since the epoch; null when there is none. */
function linkedRange(search) {
  const asked = new URLSearchParams(search);
  const [from, to] = ["from", "to"].map((name) => Number(asked.get(name)) / 1e6);
  return from > 0 && to - from >= SHORTEST_MS ? { from, to } : null;
}

async function begin() {
  const status = new Status();
  for (;;) {
    try {
      const { rows } = await get("catalogue");
      return new Page(new Catalogue(rows), status).start();
    } catch (error) {
      status.failed(error);
      await new Promise((done) => setTimeout(done, RETRY_MS));
    }
  }
}

begin();
