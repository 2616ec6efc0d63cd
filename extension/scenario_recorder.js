// Notes what a person does, for a scenario: in the pages of the site, and only while somebody records one. What is typed is not looked
// at: of a text field it says that something was typed, and of keys only those of a list.
(() => {
  const own = globalThis.tracemark;
  if (own.scenarioRecorder) return own.scenarioRecorder.dial();

  const MOVED_PX = 10;
  const SILENCE_MS = 400;
  const NOTCH_PX = 100;
  const PASSIVE = { capture: true, passive: true };
  const TEXT = "input:not([type]), input[type=text], input[type=search], input[type=email], input[type=number], input[type=password], input[type=tel], input[type=url], input[type=date], textarea, [contenteditable]";
  const FIELD = `${TEXT}, select, input[type=file]`;
  const KEYS = new Set("ArrowUp ArrowDown ArrowLeft ArrowRight PageUp PageDown Home End Enter Escape Tab Delete".split(" "));
  const EDITING = new Set("ArrowUp ArrowDown ArrowLeft ArrowRight Home End Delete".split(" "));

  let port = null;
  let state = "waiting"; // for the background's word; then "going", then "over"
  let context = "";
  let folding = null;
  let pressed = Infinity; // when the last key went down, until its letter is there
  let timer = null;
  let down = null;

  own.scenarioPath = (path) => (context && path.startsWith(`${context}/`) ? path.slice(context.length) : path);
  const stamp = (event) => performance.timeOrigin + event.timeStamp;

  function dial() {
    if (port) return;
    port = own.browser.connectScenario();
    port.onDisconnect.addListener(() => (port = null));
    port.onMessage.addListener((message) => {
      if (message.type === "stop") stop();
      else if (message.type === "go") begin(message.context_path);
    });
  }

  /** To the background, also to one that was just restarted; where there is none any more, this is over. */
  function say(message) {
    try {
      dial();
      port.postMessage(message);
    } catch {
      stop();
    }
  }

  function begin(context_path) {
    if (state !== "waiting") return;
    state = "going";
    context = context_path;
    const [entry] = performance.getEntriesByType("navigation");
    const typed = document.referrer === "" || (entry?.type ?? "navigate") !== "navigate";
    say({ type: "document", t: performance.timeOrigin, path: own.scenarioPath(location.pathname), typed, window: [innerWidth, innerHeight] });
  }

  function flush() {
    clearTimeout(timer);
    if (folding) say(folding.message);
    folding = null;
  }

  /** Add to what is being folded, or begin anew; `same`: what must be the same for one gesture. */
  function fold(same, event, fresh, more, t = stamp(event)) {
    if (folding && (folding.type !== fresh.type || folding.same !== same)) flush();
    folding ??= { type: fresh.type, same, message: { ...fresh, t, targets: own.locatorsOf(same, document) } };
    folding.message.last = t;
    more?.(folding.message);
    clearTimeout(timer);
    timer = setTimeout(flush, fresh.type === "type" ? 5 * SILENCE_MS : SILENCE_MS);
  }

  /** Whose name, whose password, or just words. */
  function fieldOf(element) {
    if (element.type === "password") return "password";
    const signing = element.form?.querySelector("input[type=password]");
    return signing && element.matches("input") ? "user" : "text";
  }

  const listeners = {
    pointerdown(event) {
      pressed = Infinity;
      if (event.button > 1 || !event.isPrimary) return;
      flush();
      const element = own.meantBy(event.target, "click");
      const { left, top } = element.getBoundingClientRect();
      const { clientX: x, clientY: y } = event;
      down = { x, y, at: [x - left, y - top], message: { type: "click", t: stamp(event), targets: own.locatorsOf(element, document), field: element.matches(FIELD), middle: event.button === 1 } };
    },
    pointerup: (event) => release(event),
    dblclick: (event) => say({ type: "dblclick", t: stamp(event), targets: own.locatorsOf(own.meantBy(event.target, "click"), document) }),
    drop(event) {
      if (!down) return;
      say({ ...down.message, type: "drag", last: stamp(event), at: down.at, onto: own.locatorsOf(own.meantBy(event.target, "wheel"), document) });
      down = null;
    },
    input(event) {
      // A key is stamped when it was pressed, its letter when the page comes to it: on a busy machine that is after the next key.
      const t = Math.min(pressed, stamp(event));
      pressed = Infinity;
      if (event.target.matches(TEXT)) fold(event.target, event, { type: "type", field: fieldOf(event.target) }, undefined, t);
    },
    change(event) {
      const { target } = event;
      const told = target.matches("select") ? { type: "select", index: target.selectedIndex } : target.matches("input[type=file]") ? { type: "file" } : null;
      if (!told) return;
      flush();
      say({ ...told, t: stamp(event), targets: own.locatorsOf(target, document) });
    },
    keydown(event) {
      pressed = stamp(event);
      if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
      const typing = event.target.matches(TEXT);
      if (!KEYS.has(event.key)) return void (!typing && event.key.length === 1 && say({ type: "left_out", what: "letter" }));
      if (typing && EDITING.has(event.key)) return;
      fold(event.target, event, { type: "keys", keys: [] }, (message) => message.keys.push(event.key));
      if (typing) flush();
    },
    wheel(event) {
      const element = own.meantBy(event.target, "wheel");
      if (event.ctrlKey || !own.isViewport(element)) return;
      fold(element, event, { type: "wheel", turns: [] }, ({ turns }) => {
        const notches = Math.sign(event.deltaY) * Math.max(1, Math.round(Math.abs(event.deltaY) / NOTCH_PX));
        if (Math.sign(turns.at(-1) ?? 0) === Math.sign(notches)) turns[turns.length - 1] += notches;
        else if (notches) turns.push(notches);
      });
    },
  };

  /** The button is let go: a click, or where the pointer went meanwhile a drag. */
  function release(event) {
    if (!down) return;
    const { x, y, at, message } = down;
    down = null;
    const by = event.type === "pointerup" ? [event.clientX - x, event.clientY - y] : [0, 0];
    say({ ...message, last: stamp(event), ...(Math.hypot(...by) > MOVED_PX ? { type: "drag", at, by } : {}) });
  }

  /** A page that goes away at the press of a button hears of no release. */
  function leave(event) {
    flush();
    release(event);
  }

  const heard = Object.entries(listeners).map(([type, listener]) => [
    type,
    (event) => {
      if (!event.isTrusted || state !== "going" || !(event.target instanceof Element)) return;
      try {
        listener(event);
      } catch {
        say({ type: "left_out", what: "error" }); // the page does not hear of it
      }
    },
  ]);

  function stop() {
    state = "over";
    folding = down = null;
    clearTimeout(timer);
    for (const [type, listener] of heard) removeEventListener(type, listener, PASSIVE);
    removeEventListener("pagehide", leave, PASSIVE);
    delete own.scenarioRecorder;
    port?.disconnect();
  }

  for (const [type, listener] of heard) addEventListener(type, listener, PASSIVE);
  addEventListener("pagehide", leave, PASSIVE);
  own.scenarioRecorder = { dial };
  return dial();
})();
