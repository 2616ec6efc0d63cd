// The page's side: listens, touches nothing, and feeds the tagger. Listeners only note; the work is done up to a second later.
// While nothing is recorded there is one listener (for the page's return from the browser's cache) and the port.
(() => {
  const own = globalThis.tracemark;
  if (own.page) return; // injected twice
  own.page = true;

  const SOON_MS = 100; // what another document may need to know
  const LATER_MS = 1000; // what may be over by then
  const LATEST_MS = 2000; // what is only counted
  const FOLD_MS = 200;
  const NOTED = 5000;
  const FLOOD_PER_S = 2000;
  const FLOOD_MS = 5000;
  const REST_MS = 30000;
  const PASSIVE = { capture: true, passive: true };
  const CLICKABLE = "a, button, input, select, label, li, th, summary, [role]";

  const now = () => performance.now();
  const newId = () => [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  let recording = null;
  let noted = [];
  let series = {}; // by type of event: what its next one is added to
  let timer = null;
  let due = Infinity; // when the timer comes
  let heavy_ms = 0;
  let drained = 0;
  let first = document.readyState === "loading";

  const port = new own.Port({
    connect: own.browser.connect,
    heard: guarded(hear),
    gone: () => {
      stop();
      removeEventListener("pageshow", shown, true);
    },
    clock: () => ({ wall_ms: Date.now(), mono_ms: performance.timeOrigin + now() }),
  });

  /** Whatever goes wrong, the page does not hear of it; recording ends in this document. */
  function guarded(work) {
    return (value) => {
      try {
        return work(value);
      } catch {
        port.counts.errors += 1;
        stop();
        return port.flush();
      }
    };
  }

  /** `within_ms`: Infinity for what means nothing alone. */
  function note(seen, within_ms) {
    if (noted.length >= NOTED) port.counts.dropped += 1;
    else noted.push(seen);
    plan(noted.length < 200 ? within_ms : SOON_MS);
  }

  /** What comes now and then: whatever comes often begins a new note after it. */
  function noteRare(seen, within_ms) {
    series = {};
    note(seen, within_ms);
  }

  function plan(within_ms) {
    const at = now() + within_ms;
    if (at >= due) return;
    clearTimeout(timer);
    due = at;
    timer = setTimeout(drain, within_ms);
  }

  function unplan() {
    clearTimeout(timer);
    due = Infinity;
  }

  const drain = guarded(() => {
    due = Infinity;
    if (!recording) return;
    plan(Math.max(50, work()));
    port.flush();
  });

  /** What was noted becomes markers. Returns in how many milliseconds to come again. */
  function work() {
    const { tagger, rules, requests } = recording;
    const rest = requests.take();
    if (rest.length > 0) keep(rest);
    const batch = noted;
    const t = now();
    noted = [];
    series = {};
    weigh(batch, t);
    const loaded = !recording.loaded && own.navigationEntry()?.loadEventEnd;
    if (loaded) {
      recording.loaded = true;
      tagger.loaded({ t: loaded }); // first: what came long after it is no part of the page
    }
    for (const seen of batch) {
      seen.prevented = seen.submits?.defaultPrevented;
      if (seen.entries) seen.entries.forEach(request);
      else tagger[seen.kind](seen);
    }
    port.counts.bad_rules = rules.bad;
    return tagger.tick({ t });
  }

  function request(entry) {
    const found = entry.startTime >= recording.since && own.requestOfEntry(entry, location.origin, recording.context);
    if (found) recording.tagger.request(found);
  }

  /** In a flood that lasts, what comes often is not listened to for a while. */
  function weigh(batch, t) {
    const count = batch.reduce((sum, seen) => sum + (seen.count ?? 1), 0);
    const elapsed = t - drained;
    drained = t;
    heavy_ms = count > (FLOOD_PER_S * elapsed) / 1000 ? heavy_ms + elapsed : 0;
    if (heavy_ms < FLOOD_MS) return;
    heavy_ms = 0;
    port.counts.overloads += 1;
    recording.unhearOften();
    const resting = recording;
    setTimeout(() => recording === resting && hearOften(false), REST_MS);
  }

  const sign = (event) => (event.type === "wheel" ? event.ctrlKey : event.key);

  /** Events in a row at the same element are one note. Whether this is one more. */
  function again(event) {
    const before = series[event.type];
    if (before === undefined) return false;
    const t = event.timeStamp;
    const same = t - before.last < FOLD_MS && before.target === event.target && before.trusted === event.isTrusted && before.sign === sign(event);
    if (!same) return false;
    before.last = t;
    before.count += 1;
    return true;
  }

  const begin = (event, kind, more) => {
    const { target, timeStamp: t, isTrusted: trusted } = event;
    return { kind, t, last: t, count: 1, target, trusted, sign: sign(event), ...more };
  };

  const input = guarded((event) => again(event) || fresh(event));

  function fresh(event) {
    const { type, target, isTrusted } = event;
    const { rules, tagger } = recording;
    const often = rules.often.includes(type);
    if (!isTrusted && !often) return;
    if (type === "keydown" && !rules.keys.includes(event.key)) return; // typing
    if (type === "input" && target.type !== "range") return;
    if (type === "wheel" && event.ctrlKey) return;
    const hits = own.matchInput(rules, type, event, document);
    const cause = type === "submit" || type === "change" || event.key === "Enter" || (type === "click" && Boolean(target.closest?.(CLICKABLE)));
    const seen = begin(event, "input", { hits, cause });
    if (!cause && (often || type === "keydown" || type === "input") && hits.every(({ entry }) => entry.kind === "fold")) {
      series[type] = seen;
      if (hits.length > 0) note(seen, LATEST_MS);
    } else if (cause || hits.length > 0) {
      const changes = hits.find(({ action }) => action.confirm?.changes)?.action.confirm.changes;
      if (changes) seen.place = tagger.look.place(changes);
      if (type === "submit") seen.submits = event;
      noteRare(seen, hits.length === 0 ? Infinity : hits.some(({ entry }) => /^(arrive|download)$/.test(entry.kind)) ? SOON_MS : LATER_MS);
    }
  }

  const image = guarded((event) => {
    if (again(event)) return;
    const what = event.target.closest?.(recording.rules.pane) && recording.rules.images[event.type];
    if (!what) return;
    listenToPointer();
    note((series[event.type] = begin(event, "image", { what })), LATEST_MS);
  });

  /** Buttons that are held matter in viewers alone. */
  function listenToPointer() {
    if (recording.pointer) return;
    recording.pointer = true;
    recording.undo.push(on(document, ["pointerdown", "pointerup", "pointercancel"], pointer));
  }

  const pointer = guarded(({ type, timeStamp: t, isTrusted }) => isTrusted && noteRare({ kind: "pointer", down: type === "pointerdown", t }, Infinity));

  const drawn = guarded((t) => recording && note({ kind: "frame", t }, LATER_MS));

  function keep(entries) {
    noted.push({ entries });
    if (entries.some(({ name }) => own.isShown(recording.rules, name))) own.afterFrame(drawn);
  }

  const requested = guarded((list) => {
    keep(list.getEntries());
    plan(LATER_MS);
  });

  const navigating = guarded((event) => {
    const seen = own.requestOfNavigation(event, location.origin, recording.context);
    if (!seen) return;
    const { path, start, same } = seen;
    if (!same) note(seen, SOON_MS);
    else if (path !== own.below(location.pathname, recording.context)) note({ kind: "document", soft: true, t: start, path, from: null, page: recording.own, status: 0 }, LATER_MS);
  });

  const loaded = guarded(() => plan(LATER_MS));

  const left = guarded((event) => {
    unplan();
    work();
    recording.tagger.leave({ t: event.timeStamp });
    recording.left = true;
    port.flush();
  });

  const hidden = guarded(() => {
    if (!document.hidden || recording.left) return;
    unplan();
    drain();
  });

  const shown = guarded((event) => {
    if (!event.persisted) return;
    if (recording) {
      recording.left = false;
      recording.tagger.document({ t: event.timeStamp, path: own.below(location.pathname, recording.context), from: null, page: recording.own, restored: true, status: 0 });
      recording.tagger.loaded({ t: event.timeStamp });
      plan(LATER_MS);
    }
    port.open(self === top);
  });

  function on(target, types, listener) {
    for (const type of types) target.addEventListener(type, listener, PASSIVE);
    return () => {
      for (const type of types) target.removeEventListener(type, listener, PASSIVE);
    };
  }

  function hearOften(buffered) {
    const { often, images } = recording.rules;
    recording.requests = own.watchRequests(requested, buffered);
    const quiet = [on(document, often, input), on(document, Object.keys(images), image), () => recording.requests.stop()];
    recording.unhearOften = () => {
      for (const undo of quiet.splice(0)) undo();
    };
  }

  function hear({ recording: wanted, rules, context_path: context, open }) {
    const beginning = first;
    first = false;
    if (!wanted) return stop();
    if (recording && recording.version === rules?.version && recording.context === context) return undefined;
    stop();
    return start(rules, context, beginning ? (open ?? []) : null);
  }

  /** `open`: what other documents began; null when this one was there before the recording. */
  function start(rules, context, open) {
    const { navigation } = globalThis;
    const look = own.makeLook(document);
    const tagger = new own.Tagger({ rules, emit: tell, newId, look, origin: performance.timeOrigin, navigations: Boolean(navigation) });
    const pathOf = (path) => own.below(path, context);
    const isPage = (path) => rules.documents.some((entry) => own.fits(entry, pathOf(path)));
    recording = { rules, version: rules.version, context, tagger, undo: [], since: open ? 0 : now(), loaded: !open, own: own.isOwnPage(isPage) };
    recording.undo.push(
      on(document, rules.seldom, input),
      on(document, ["visibilitychange"], hidden),
      on(window, ["load"], loaded),
      on(window, ["pagehide"], left),
      () => recording.unhearOften(),
    );
    if (navigation) recording.undo.push(on(navigation, ["navigate"], navigating));
    if (open) {
      const { type, redirectCount, responseStatus: status = 0 } = own.navigationEntry() ?? {};
      const thrownOut = type === "reload" && redirectCount > 0; // the page is not given any more, and the referrer is an older one
      const from = thrownOut ? "/" : own.requestOf(document.referrer || "about:blank", location.origin, context)?.path;
      tagger.document({ t: 0, path: pathOf(location.pathname), from, page: recording.own, open, status });
    }
    hearOften(open !== null);
    plan(LATER_MS);
  }

  function stop() {
    if (!recording) return;
    unplan();
    noted = [];
    series = {};
    for (const undo of recording.undo) undo();
    recording = null;
  }

  function tell({ action_id, action, phase, t, attrs, foreign }) {
    port.add({ action_id, action, phase, wall_ms: performance.timeOrigin + t, mono_ms: foreign ? null : t, attrs });
    if (phase !== "begin" || !recording.rules.actions[action].ends.download) return;
    port.flush();
    port.say({ type: "await_download", action_id });
  }

  addEventListener("pageshow", shown, true);
  port.open(self === top);
})();
