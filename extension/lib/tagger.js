// The state machine of actions: pending (until confirmed), open, then ended or cancelled. Pure: fed with what was seen, in the order in
// which it became known, it emits markers. Times are milliseconds of the document's monotonic clock.
(() => {
  const own = (globalThis.tracemark ??= {});
  const { endings } = own;
  const SAME_MS = 5; // an input and the events that it makes in turn
  const SUBMIT_MS = 500; // from the click or key to the form's being sent
  const ECHO_MS = 1000; // a viewer scrolls by itself unless a person did something so recently
  const KEPT_INPUTS = 20;
  const KEPT_SCANS = 64;
  const CONFIRM_MS = 3000;
  const UNTOLD_MS = 1000; // what shall confirm it is looked for so often
  const AT_LEAST_MS = 5000;

  own.Tagger = class {
    /** `look`: lib/viewer.js; `origin` makes wall times of the document's; `navigations`: they are told. */
    constructor({ rules, emit, newId, look, origin, navigations }) {
      Object.assign(this, { rules, emit, newId, look, origin, navigations });
      this.open = new Set();
      this.inputs = []; // when the person last did something that a request may come from
      this.scans = new Map();
      this.held = false;
      this.touched = -Infinity;
    }

    /** A person's input and what it fits; `trusted` false: the viewer's echo of one. */
    input(o) {
      if (o.trusted) this.touched = o.last ?? o.t;
      else if (!this.held && o.t - this.touched > ECHO_MS) return;
      for (const hit of o.hits ?? []) this.hit(o, hit);
      if (!o.cause) return;
      const pressed = o.submits && this.causeOf(o.t, SUBMIT_MS); // a form is sent when the page comes to it
      this.inputs = [...this.inputs.slice(1 - KEPT_INPUTS), { t: pressed ? pressed.t : o.t }];
    }

    hit(o, { entry, action, ready, bytes }) {
      const { kind } = entry;
      const same = [...this.open].filter((a) => a.action === action && a.kind === kind);
      if (entry.toggles && same.length > 0) {
        const again = Boolean(entry.when) && ready; // it had stopped by itself
        if (entry.when && !ready) same.forEach((a) => this.tell(a)); // it ran, though no image has moved yet
        for (const a of same) endings.cine.stop(a, again ? Math.min(o.t, a.last ?? a.begin) : o.t, this);
        if (!again) return;
      }
      if (!ready) return;
      if (kind === "fold") {
        this.fold(action, entry, o, same[0]);
        return;
      }
      for (const a of this.open) if (a.kind === "fold" && a.action !== action) endings.fold.leave(a, o.t, this);
      for (const a of same) {
        if (kind === "slices" && a.before !== o.place) this.tell(a); // it had led to where the next one begins
        if (kind === "arrive") this.cancel(a, o.t, "navigation");
        if (kind !== "gesture") continue;
        a.released = undefined;
        if (a.told) return; // one more stroke of the same drawing
        this.forget(a);
      }
      const pressed = entry.on === "submit" ? this.causeOf(o.t, SUBMIT_MS) : undefined;
      const a = this.begin(action, entry, pressed?.t ?? o.t);
      Object.assign(a, { before: o.place, prevented: o.prevented, awaits: true, ready: true, brush: entry.when, bytes });
      if (entry.new_tab) this.forget(a); // the other tab's document ends it
    }

    fold(action, entry, o, open) {
      const fits = open && o.t - open.last <= open.spec.after_ms;
      if (!fits && !o.trusted && !this.held) return; // a late echo
      if (open && !fits) endings.fold.leave(open, o.t, this);
      endings.fold.more(fits ? open : this.begin(action, entry, o.t), o);
    }

    /** A request: finished, or (a navigation) just begun. */
    request(r) {
      const fits = (one) => (!one.methods || !r.method || one.methods.includes(r.method)) && (r.navigation || !one.navigates) && own.fits(one, r.path, r.format);
      const { roots, requests } = this.rules;
      const ours = !this.slice(r) && (roots.includes(r.path.split("/", 2)[1]) || roots.includes("*"));
      const entry = ours ? requests.find(fits) : undefined;
      const cause = entry && this.causeOf(r.start, entry.cause_ms);
      const leads = r.navigation && entry && this.fitsDownload(r);
      for (const a of [...this.open]) {
        const reaction = endings[a.kind];
        if (!reaction.request || (leads && a.kind === "arrive")) continue;
        const later = cause?.t > (a.cause ?? a.begin) + SAME_MS;
        const others = later && (a.kind === "download" || (a.kind === "burst" && entry.caused && !reaction.expecting(a)));
        if (!others && reaction.request(a, r, this)) return;
      }
      if (!entry || r.same || (entry.caused && !cause)) return;
      const action = this.rules.actions[entry.action];
      const begin = cause?.t ?? r.start;
      if (action.begun >= begin - SAME_MS) return; // the input that caused it has begun the action
      if (!cause && [...this.open].some((a) => a.action === action)) return;
      const a = this.begin(action, entry, begin);
      Object.assign(a, { cause: cause?.t, ready: true, awaits: true });
      endings[a.kind].request?.(a, r, this);
    }

    /** Images of a viewer, several in a row as one (inputs too): `t` of the first, `last` of the last, `count`. */
    image(i) {
      for (const a of [...this.open]) {
        endings[a.kind].image?.(a, i, this);
        this.confirm(a, i.last);
      }
    }

    frame({ t }) {
      for (const a of [...this.open]) endings[a.kind].frame?.(a, t, this);
    }

    /** A document is there: `t` its beginning, `page`: of its own, `open`: what other documents began. */
    document(d) {
      let led = false;
      for (const one of d.page ? (d.open ?? []) : []) led = this.arrived(one, d) || led;
      if (led || d.status >= 400) return;
      for (const entry of this.rules.documents) {
        const action = this.rules.actions[entry.action];
        if (!(action.ends.slices || (d.page && !d.soft)) || !own.fits(entry, d.path) || !own.comesFrom(entry, d.from)) continue;
        const a = this.begin(action, entry, d.t);
        if (d.restored) a.expects = null; // all of it is there already
        return;
      }
    }

    /** Whether an action that another document began has led here. */
    arrived({ action_id, action: name, begun_wall_ms, own: told }, d) {
      const action = this.rules.actions[name];
      const mine = told ?? true;
      const { navigation: arrival, slices, requests } = action?.ends ?? {};
      if (!arrival || !(mine || slices)) return false;
      const a = { id: action_id, action, begin: begun_wall_ms - this.origin, told: true, foreign: true, arrived: true };
      if (d.status < 400 && own.fits(arrival, d.path)) {
        const then = slices ?? arrival.then ?? requests;
        Object.assign(a, { kind: slices ? "slices" : then ? "burst" : "loaded", spec: then ?? arrival, page: true });
        endings[a.kind].begin?.(a, d.t);
        this.open.add(a);
        return true;
      }
      if (mine && !slices) this.cancel(a, d.t, "navigation"); // a viewer may come up in another tab than where it was asked for
      return false;
    }

    /** The document is complete. */
    loaded({ t }) {
      for (const a of [...this.open]) endings[a.kind].loaded?.(a, t, this);
    }

    pointer({ down, t }) {
      this.held = down;
      this.touched = t;
      if (!down) for (const a of this.open) endings[a.kind].released?.(a, t);
    }

    /** The page is left: nothing more will be seen of what is open. */
    leave({ t }) {
      for (const a of [...this.open]) {
        if (!a.told && !endings[a.kind].runs?.(a, this)) this.forget(a);
        else (endings[a.kind].leave ?? ((one) => this.cancel(one, t, "navigation")))(a, t, this);
      }
    }

    /** Time has passed. Returns in how many milliseconds to come again; Infinity when nothing is open. */
    tick({ t }) {
      let pause = Infinity;
      for (const a of [...this.open]) {
        a.since ??= t; // not its begin: it may have been told of only when its long request was over
        this.confirm(a, t);
        if (this.open.has(a)) endings[a.kind].tick?.(a, t, this);
        if (this.open.has(a) && t - Math.max(a.since, a.last ?? 0) > a.action.at_most_ms) this.cancel(a, t, "timer");
        if (this.open.has(a)) pause = Math.min(pause, a.told ? (endings[a.kind].due?.(a, t) ?? Infinity) - t : UNTOLD_MS, AT_LEAST_MS);
      }
      return pause;
    }

    begin(action, entry, t) {
      const { kind, end, on } = entry;
      const a = { id: this.newId(), action, kind, spec: action.ends[end], begin: t, told: false, page: on === "navigation" };
      action.begun = t;
      endings[kind].begin?.(a, t);
      for (const other of this.open) if (other.kind === "burst" && other.page) other.until = Math.min(other.until, t);
      this.open.add(a);
      if (!(action.confirm && kind !== "burst" && !a.page)) this.tell(a);
      return a;
    }

    /** Tells the begin of an action, once; what it ousts is over. */
    tell(a) {
      if (a.told) return a;
      a.told = true;
      this.emit({ action_id: a.id, action: a.action.name, phase: "begin", t: a.begin, attrs: {}, foreign: false });
      if (a.kind !== "slices") return a;
      for (const other of [...this.open]) {
        if (other !== a && other.kind === "slices" && other.begin <= a.begin) {
          if (other.told) endings.slices.leave(other, a.begin, this, "state");
          else this.forget(other);
        }
        if (other.kind === "cine") other.cut = a.begin;
      }
      return a;
    }

    end(a, t, evidence, attrs = {}) {
      this.finish(a, "end", t, { ...attrs, ...(a.bytes ? { bytes: a.bytes } : {}), evidence });
    }

    cancel(a, t, evidence) {
      if (!a.told) return this.forget(a);
      return this.finish(a, "cancel", t, { evidence });
    }

    finish(a, phase, t, attrs) {
      this.open.delete(a);
      this.emit({ action_id: a.id, action: a.action.name, phase, t: Math.max(t, a.begin), attrs, foreign: Boolean(a.foreign) });
    }

    forget(a) {
      this.open.delete(a);
    }

    /** The scan that was mostly fetched since then. */
    scanSince(t) {
      let found;
      for (const scan of this.scans.values()) {
        const since = scan.starts.filter((start) => start >= t - SAME_MS).length;
        if (since > 0 && (!found || since > found.since)) found = { scan, since };
      }
      return found?.scan;
    }

    fitsDownload(r) {
      return this.rules.requests.some((one) => one.kind === "download" && own.fits(one, r.path, r.format));
    }

    confirm(a, now) {
      const { confirm } = a.action;
      if (a.told || !confirm) return;
      const changed = confirm.changes !== undefined && a.before !== undefined && this.look.place(confirm.changes) !== a.before;
      if (a.confirmed || changed || (confirm.images && (a.set || a.images > 0))) this.tell(a);
      else if (now - a.begin > (confirm.within_ms ?? CONFIRM_MS)) endings[a.kind].runs?.(a, this) ? this.tell(a) : this.forget(a);
    }

    causeOf(start, within) {
      return this.inputs.findLast((one) => one.t <= start + SAME_MS && start - one.t <= within);
    }

    slice(r) {
      const key = r.end !== null && this.rules.slices.some((one) => own.fits(one, r.path)) && own.scanOf(r.path);
      if (!key) return false;
      const scan = this.scans.get(key) ?? { paths: new Set(), starts: [], last: 0, failed: 0 };
      if (this.scans.size >= KEPT_SCANS && !this.scans.has(key)) this.scans.delete(this.scans.keys().next().value);
      this.scans.set(key, scan);
      if (!scan.paths.has(r.path) && r.status >= 400) scan.failed += 1;
      scan.paths.add(r.path);
      scan.starts.push(r.start);
      scan.last = Math.max(scan.last, r.end);
      return true;
    }
  };
})();
