// How actions are known to be over: a few reactions for each way of ending; `due`: when it would be if nothing more came. Pure; the
// tagger owns the actions `a`; times are milliseconds of the document's monotonic clock.
(() => {
  const own = (globalThis.tracemark ??= {});
  const EARLY_MS = 5;
  const SUBMIT_MS = 1000; // the first navigation so soon after a submit is its own
  const STALLED_MS = 15000; // an incomplete scan is given up after so long without a slice
  const HELD_MS = 100;
  const ECHO_MS = 250;
  const LATE_MS = 250; // a busy page hears so late of an input or a request
  const LOOK_MS = 1000; // a state that tells nobody when it changes is looked at so often

  /** login, logout, a submitted search, a viewer being opened: over in the next document. */
  const arrive = {
    request(a, r, tagger) {
      if (!r.navigation || r.same || r.start < a.begin - EARLY_MS) return false;
      const awaited = own.fits(a.action.ends.navigation, r.path) || (!a.action.ends.slices && r.start - a.begin < SUBMIT_MS);
      if (awaited && !a.navigated) {
        a.navigated = true;
        return true;
      }
      tagger.cancel(a, r.start, "navigation"); // the person went elsewhere
      return false;
    },
    tick(a, now, tagger) {
      if (a.prevented && !a.navigated && now - a.begin >= 5 * SUBMIT_MS) tagger.cancel(a, now, "timer");
    },
    leave(a, t, tagger) {
      if (tagger.navigations && !a.navigated) tagger.cancel(a, t, "navigation"); // by the address bar, say
      else tagger.forget(a); // the next document ends it
    },
  };

  /** In the next document: over when that is complete. */
  const loaded = {
    loaded: (a, t, tagger) => tagger.end(a, t, "navigation"),
    leave: (a, t, tagger) => tagger.end(a, t, "navigation"),
  };

  /** A burst of requests: over at the last one's end, known after a time without any. */
  const burst = {
    begin(a, t) {
      Object.assign(a, { last: t, seen: 0, until: Infinity, expects: a.spec.expects });
    },
    expecting: (a) => Boolean(a.expects) && !a.met,
    request(a, r) {
      const { spec } = a;
      if (r.end === null || r.start < a.begin - EARLY_MS || r.start >= a.until) return false;
      const expected = burst.expecting(a) && own.fits(a.expects, r.path, r.format);
      if (!expected && !own.fits(spec, r.path, r.format)) return false;
      if (a.ready && a.seen > 0 && !burst.expecting(a) && r.start > a.last + spec.quiet_ms) return false;
      a.last = Math.max(a.last, r.end);
      a.seen += 1;
      a.failed ||= Boolean(spec.fails) && r.status >= 400;
      a.met ||= expected || a.failed;
      return true;
    },
    frame(a, t) {
      if (a.seen > 0 && t >= a.last && !(a.frame >= a.last)) a.frame = t;
    },
    loaded(a, t, tagger) {
      if (a.ready || !a.page) return;
      a.ready = true;
      a.last = Math.max(a.last, t);
      if (a.expects?.selector && !tagger.look.there(a.expects.selector)) a.expects = null;
    },
    tick(a, now, tagger) {
      if (!a.ready || (a.awaits && a.seen === 0)) return;
      if (burst.expecting(a) && a.until === Infinity && now - a.last < a.expects.within_ms) return;
      if (now - a.last >= a.spec.quiet_ms) burst.finish(a, tagger);
    },
    due(a) {
      if (!a.ready || (a.awaits && a.seen === 0)) return Infinity;
      return a.last + (burst.expecting(a) && a.until === Infinity ? a.expects.within_ms : a.spec.quiet_ms + LATE_MS);
    },
    finish(a, tagger) {
      if (a.failed) return tagger.cancel(a, a.last, "requests");
      const shown = a.spec.rendered && a.frame >= a.last;
      return tagger.end(a, shown ? a.frame : a.last, shown ? "rendered" : a.seen > 0 ? "requests" : "navigation");
    },
    leave(a, t, tagger) {
      if (a.ready && !(a.awaits && a.seen === 0)) burst.finish(a, tagger);
      else tagger.cancel(a, t, "navigation");
    },
  };

  /** A scan that is being shown: the first image is kept as an attribute, the last slice is the end. */
  const slices = {
    image(a, i) {
      if (i.last < a.begin) return;
      if (i.what === "new" || i.what === "set") a.fresh = true;
      if (i.what === "set") a.set = true;
      if (i.what === "rendered" && a.fresh) a.first ??= Math.max(i.t, a.begin);
    },
    attributes(a, scan) {
      const found = a.first === undefined ? {} : { first_image_ns: Math.round((a.first - a.begin) * 1e6) };
      return scan ? { ...found, images: scan.paths.size - scan.failed } : found;
    },
    tick(a, now, tagger) {
      if (!a.told || a.first === undefined) return;
      const scan = tagger.scanSince(a.begin);
      const count = tagger.look.slices(a.spec.count);
      const complete = (one) => one.paths.size >= count;
      const last = Math.max(a.first, scan?.last ?? 0);
      if (!(scan && complete(scan))) {
        const partial = count > 1 && (scan ? !complete(scan) : ![...tagger.scans.values()].some(complete));
        a.over = last + (partial ? STALLED_MS : a.spec.quiet_ms);
        if (now < a.over) return;
      }
      tagger.end(a, last, scan ? "requests" : "rendered", slices.attributes(a, scan));
    },
    due: (a) => a.over ?? Infinity,
    /** The person went on: what showed something is over at its last slice, what showed nothing did not come to be. */
    leave(a, t, tagger, evidence = "navigation") {
      const scan = tagger.scanSince(a.begin);
      if (a.first === undefined) return tagger.cancel(a, t, evidence);
      return tagger.end(a, Math.min(t, Math.max(a.first, scan?.last ?? 0)), "rendered", slices.attributes(a, scan));
    },
  };

  /** Moving images: over when they are stopped, stop by themselves, or the page is left. */
  const cine = {
    image(a, i) {
      if (i.what !== "new" || i.last < a.begin) return;
      a.images = (a.images ?? 0) + i.count;
      a.last = i.last;
    },
    /** Whether its control says that it runs: images yet to come cannot move. */
    runs({ spec }, { look }) {
      return spec.value !== undefined && ![null, spec.value].includes(look.state(spec.selector, spec.attribute));
    },
    tick(a, now, tagger) {
      if (!a.told) return;
      const state = tagger.look.state(a.spec.selector, a.spec.attribute);
      const last = a.last ?? a.begin;
      if (a.cut !== undefined && last > a.cut + 1500) a.cut = undefined; // it plays on in the new scan
      const stopped = state === null || a.spec.value === undefined ? now - last >= a.spec.quiet_ms : state === a.spec.value && now - a.begin >= 500;
      if (stopped) tagger.end(a, Math.min(last, a.cut ?? Infinity), "state", { images: a.images ?? 0 });
    },
    due: (a, now) => now + LOOK_MS,
    stop(a, t, tagger) {
      if (!a.told && !a.images) tagger.forget(a);
      else tagger.end(tagger.tell(a), t, "state", { images: a.images ?? 0 });
    },
    leave: (a, t, tagger) => tagger.end(tagger.tell(a), t, "navigation", { images: a.images ?? 0 }),
  };

  /** Single gestures folded into one action: over at the last one, known after a silence. */
  const fold = {
    begin(a, t) {
      Object.assign(a, { last: t, inputs: 0, echoes: 0, images: 0 });
    },
    more(a, { trusted, t, last = t, count = 1 }) {
      if (trusted) {
        a.inputs += count;
        a.touched = last;
      } else {
        a.echoes += count; // the viewer's word for the same gesture, and all that tells of a drag
      }
      if (trusted || last - (a.touched ?? -Infinity) > ECHO_MS) a.last = Math.max(a.last, last);
    },
    image(a, i) {
      if (i.what === "new" && i.last >= a.begin) a.images += i.count;
    },
    tick(a, now, tagger) {
      if (now - a.last >= a.spec.after_ms + LATE_MS) fold.leave(a, now, tagger);
    },
    due: (a) => a.last + a.spec.after_ms + LATE_MS,
    leave: (a, t, tagger) => tagger.end(a, a.last, "timer", { ticks: Math.max(a.inputs, a.echoes), images: a.images }),
  };

  /** A drawing: over when the viewer says so, else (a brush, which only paints) when the button is let go. */
  const gesture = {
    image(a, i, tagger) {
      if (i.last < a.begin) return;
      if (i.what === "drawing" || i.what === "drawn") a.confirmed = true;
      if (i.what === "rendered" && a.brush && tagger.held && i.last - a.begin >= HELD_MS) a.confirmed = true;
      if (i.what === "drawn") {
        tagger.tell(a);
        tagger.end(a, i.last, "rendered");
      }
    },
    released: (a, t) => (a.released = t),
    tick(a, now, tagger) {
      if (a.told && a.released !== undefined && now - a.released >= a.spec.after_ms) tagger.end(a, a.released, "timer");
    },
    due: (a, now) => (a.released === undefined ? now + LOOK_MS : a.released + a.spec.after_ms),
  };

  /** A file: the background tells its end; only a file that the page itself fetched is seen here. */
  const download = {
    request(a, r, tagger) {
      if (!tagger.fitsDownload(r) || r.start < a.begin - EARLY_MS) return false;
      if (r.end === null) {
        const mine = !a.navigated && r.start - a.begin < SUBMIT_MS;
        a.navigated ||= mine;
        return mine;
      }
      if (r.status >= 400) tagger.cancel(a, r.end, "requests");
      else tagger.end(a, r.end, "requests", { bytes: r.bytes });
      return true;
    },
    tick(a, now, tagger) {
      if (now - a.since > a.action.at_most_ms) tagger.forget(a); // whether it came is not known here
    },
    leave: (a, t, tagger) => tagger.forget(a),
  };

  own.endings = { arrive, loaded, burst, slices, cine, fold, gesture, download };
})();
