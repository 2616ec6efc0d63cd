// The page's side: listens, touches nothing, and feeds the tagger. Listeners only note; the work is done half a second later.
// While nothing is recorded there is one listener (for the page's return from the browser's cache) and the port.
(() => {
  const own = globalThis.tracemark;
  if (own.page) return; // injected twice
  own.page = true;

  const DRAIN_MS = 500;
  const SOON_MS = 100; // a press, a release and a click are one piece of work
  const FOLD_MS = 200;
  const NOTED = 5000;
  const FLOOD_PER_S = 2000;
  const FLOOD_MS = 5000;
  const REST_MS = 30000;
  const PASSIVE = { capture: true, passive: true };
  const CLICKABLE = "a, button, input, select, label, li, th, summary, [role]";
  const CAUSES = { click: (event) => event.target.closest?.(CLICKABLE), submit: () => true, change: () => true, keydown: (event) => event.key === "Enter" };
  const POINTER = { pointerdown: true, pointerup: false, pointercancel: false };

  const now = () => performance.now();
  const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const look = own.makeLook(document);
  let recording = null;
  let noted = [];
  let series = {}; // by type of event: the note that its next one is added to
  let timer = null;
  let planned_ms = Infinity; // so long, at most, until the timer comes
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
        return stop();
      }
    };
  }

  function note(seen, soon = DRAIN_MS) {
    if (noted.length >= NOTED) port.counts.dropped += 1;
    else noted.push(seen);
    plan(soon);
  }

  /** What a person does now and then: whatever comes often begins a new note after it. */
  function noteRare(seen, soon) {
    series = {};
    note(seen, soon);
  }

  /** What comes often: events in a row at the same element are one note, `t` of the first, `last` of the last, `count`. */
  function noteOften(event, make) {
    const { type, target, timeStamp: t } = event;
    const before = series[type];
    if (before?.target === target && t - before.last < FOLD_MS) {
      before.last = t;
      before.count += 1;
      return;
    }
    const seen = make(event, target);
    if (seen) note((series[type] = Object.assign(seen, { target, t, last: t, count: 1 })));
  }

  function plan(after_ms) {
    if (after_ms >= planned_ms || after_ms === Infinity) return;
    clearTimeout(timer);
    planned_ms = after_ms;
    timer = setTimeout(drain, after_ms);
  }

  const drain = guarded(() => {
    planned_ms = Infinity;
    if (!recording) return;
    recording.requests?.take();
    const { tagger, rules } = recording;
    const batch = noted;
    const t = now();
    noted = [];
    series = {};
    weigh(batch, t);
    for (const seen of batch) {
      if (seen.event) {
        seen.prevented = seen.event.defaultPrevented;
        seen.hits ??= own.matchInput(rules, seen.event.type, seen.event, document);
      }
      tagger[seen.kind](seen);
    }
    const loaded = !recording.loaded && own.navigationEntry()?.loadEventEnd;
    if (loaded) {
      recording.loaded = true;
      tagger.loaded({ t: loaded });
    }
    plan(Math.max(50, tagger.tick({ t })));
  });

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

  // listeners

  const rare = guarded((event) => {
    if (!event.isTrusted) return;
    const { type } = event;
    if (type === "keydown" && !recording.rules.keys.has(event.key)) return; // typing
    if (type === "input" && event.target.type !== "range") return;
    const hits = own.matchInput(recording.rules, type, event, document);
    const cause = Boolean(CAUSES[type]?.(event));
    if (hits.length === 0 && !cause) return;
    const changes = hits.map(({ action }) => action.confirm?.changes).find(Boolean);
    const place = changes && look.place(changes);
    noteRare({ kind: "input", t: event.timeStamp, trusted: true, cause, hits, place, submits: type === "submit", event: type === "submit" ? event : undefined }, hits.length > 0 ? SOON_MS : DRAIN_MS);
  });

  const often = guarded((event) => {
    if (event.type !== "wheel") noteOften(event, (echo) => ({ kind: "input", trusted: false, event: echo }));
    else if (event.isTrusted && !event.ctrlKey) noteOften(event, (wheel) => ({ kind: "input", trusted: true, event: wheel }));
  });

  const image = guarded((event) => noteOften(event, ({ type }, target) => target.closest?.(own.PANE) && { kind: "image", what: own.IMAGE_EVENTS[type] }));

  const pointer = guarded((event) => event.isTrusted && noteRare({ kind: "pointer", down: POINTER[event.type], t: event.timeStamp }));

  const requested = guarded((entries) => {
    for (const entry of entries) {
      const request = own.requestOfEntry(entry, location.origin, recording.context);
      if (!request || request.start < recording.since) continue;
      note(request);
      if (recording.rules.shown.some((fits) => fits(request.path, request.format))) own.afterFrame(guarded((t) => recording && note({ kind: "frame", t })));
    }
  });

  const navigating = guarded((event) => {
    const request = own.requestOfNavigation(event, location.origin, recording.context);
    if (!request) return;
    const { path, start, same } = request;
    if (!same) note(request, SOON_MS);
    else if (path !== own.below(location.pathname, recording.context)) note({ kind: "document", soft: true, t: start, path, from: null, page: recording.own, status: 0 });
  });

  const loaded = guarded(() => plan(50));

  const left = guarded((event) => {
    drain();
    recording?.tagger.leave({ t: event.timeStamp });
    port.flush();
  });

  const hidden = guarded(() => {
    if (document.hidden) drain();
    port.flush();
  });

  const shown = guarded((event) => {
    if (!event.persisted) return;
    if (recording) {
      recording.tagger.document({ t: event.timeStamp, path: own.below(location.pathname, recording.context), from: null, page: recording.own, restored: true, status: 0 });
      recording.tagger.loaded({ t: event.timeStamp });
      plan(DRAIN_MS);
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
    const { rules } = recording;
    const types = [...rules.inputs.keys()].filter((type) => type === "wheel" || /cornerstone/i.test(type));
    recording.requests = own.watchRequests(requested, buffered);
    const quiet = [on(document, types, often), on(document, Object.keys(own.IMAGE_EVENTS), image), () => recording.requests.stop()];
    recording.unhearOften = () => {
      for (const undo of quiet.splice(0)) undo();
    };
  }

  // state

  function hear({ recording: wanted, rules, context_path: context, open }) {
    const beginning = first;
    first = false;
    if (!wanted) return stop();
    if (recording && recording.version === rules?.version && recording.context === context) return undefined;
    stop();
    return start(rules, context, beginning ? (open ?? []) : null);
  }

  /** `open`: what other documents began; null when this one was there before the recording. */
  function start({ version, actions }, context, open) {
    const probe = document.createDocumentFragment();
    const valid = (selector) => {
      try {
        probe.querySelector(selector);
        return true;
      } catch {
        return false;
      }
    };
    const rules = own.compileRules(actions, valid);
    port.counts.bad_rules = rules.bad;
    const tagger = new own.Tagger({ rules, emit: tell, newId, look, origin: performance.timeOrigin, navigations: Boolean(globalThis.navigation) });
    const pathOf = (path) => own.below(path, context);
    recording = { rules, version, context, tagger, undo: [], unhearOften: () => {}, since: open ? 0 : now(), loaded: !open };
    recording.own = own.isOwnPage((path) => rules.documents.some((entry) => entry.fits(pathOf(path))));
    const types = new Set([...rules.inputs.keys(), ...Object.keys(CAUSES)].filter((type) => type !== "wheel" && !/cornerstone/i.test(type)));
    recording.undo.push(
      on(document, types, rare),
      on(document, Object.keys(POINTER), pointer),
      on(document, ["visibilitychange"], hidden),
      on(window, ["load"], loaded),
      on(window, ["pagehide"], left),
      () => recording.unhearOften(),
    );
    if (globalThis.navigation) recording.undo.push(on(globalThis.navigation, ["navigate"], navigating));
    if (open) {
      const from = own.requestOf(document.referrer || "about:blank", location.origin, context)?.path;
      tagger.document({ t: 0, path: pathOf(location.pathname), from, page: recording.own, open, status: own.navigationEntry()?.responseStatus ?? 0 });
    }
    hearOften(open !== null);
    plan(DRAIN_MS);
  }

  function stop() {
    if (!recording) return;
    clearTimeout(timer);
    planned_ms = Infinity;
    noted = [];
    series = {};
    for (const undo of recording.undo) undo();
    recording = null;
  }

  function tell({ action_id, action, phase, t, attrs, foreign }) {
    port.add({ action_id, action, phase, wall_ms: performance.timeOrigin + t, mono_ms: foreign ? null : t, attrs });
    if (phase !== "begin" || !recording.rules.actions.get(action).by.download) return;
    port.flush();
    port.say({ type: "await_download", action_id });
  }

  addEventListener("pageshow", shown, true);
  port.open(self === top);
})();
