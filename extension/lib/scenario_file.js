// From what was noted of a session to a scenario that the replayer plays: steps, pauses, actions, what to wait for. Pure.

const FORMAT = 1;
const LATE_MS = 2500; // an action begins at most so long after the input that causes it
const EARLY_MS = 50;
const STOP_MS = 500;
const LONGEST_THINK_S = 600;
const SLOW_S = 600;
const VARIATION = 0.3;
const ROWS = ["css=#search_tabs tbody tr", "css=.listing tbody tr"];
const SEARCH = "/(REST|data)/search";
const KEYS = { ArrowUp: "UP", ArrowDown: "DOWN", ArrowLeft: "LEFT", ArrowRight: "RIGHT", PageUp: "PAGE_UP", PageDown: "PAGE_DOWN" };
const PARAMETERS = { user: "${env:XNAT_USER}", password: "${env:XNAT_PASSWORD}" };
const WORDS = { document: "open the page", dblclick: "double click", keys: "press", file: "choose a file", tab: "go to the tab" };

const seconds = (ms) => Math.round(ms / 10) / 100;
const exactly = (path) => `${path.replace(/\/$/, "").replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}/?$`;

/** Actions of these tabs by their begin: `{action, begin, end, evidence}`; cancelled ones are none. */
function actionsOf(markers, tabs) {
  const found = new Map();
  for (const { action_id, action, phase, wall_ms, evidence, ...where } of markers) {
    if (phase === "begin" && tabs.includes(where.tab)) found.set(action_id, { action, begin: wall_ms, end: null });
    else if (phase === "cancel") found.delete(action_id);
    else if (found.has(action_id)) Object.assign(found.get(action_id), { end: wall_ms, evidence });
  }
  return [...found.values()].sort((a, b) => a.begin - b.begin);
}

/** Gestures in order, each with where the page went because of it. */
function gesturesOf(events) {
  const found = [];
  let at = null;
  for (const event of [...events].sort((a, b) => a.t - b.t)) {
    const before = found.at(-1);
    const onSame = (one) => one?.type === "click" && !one.arrived && one.targets[0] === event.targets?.[0];
    if (event.type === "document" && before && (!event.typed || before.type === "tab")) {
      before.arrived = { path: event.path, t: event.t };
    } else if (["type", "select", "file"].includes(event.type) && onSame(before) && before.field) {
      Object.assign(before, { ...event, t: before.t });
    } else if (event.type === "dblclick") {
      if (onSame(before) && onSame(found.at(-2))) Object.assign(found.at(-2), { type: "dblclick", last: found.pop().last });
    } else {
      found.push({ ...event, at });
      if (event.type === "document") found.at(-1).arrived = { path: event.path, t: event.t };
    }
    if (event.type === "document") at = event.path;
  }
  return found;
}

/** Give each action to the input that began it; those without one are returned. */
function assign(actions, gestures) {
  const lost = [];
  for (const one of actions) {
    const near = gestures.filter((gesture) => !gesture.action && gesture.type !== "type" && gesture.t <= one.begin + EARLY_MS && one.begin - gesture.last <= LATE_MS);
    const gesture = near.at(-1);
    if (gesture) gesture.action = one;
    else lost.push(one.action);
  }
  return lost;
}

/** Playing lasts: it ends with the click that stops it, or where the next action begins, or after its time. */
function stretch(gestures) {
  for (let index = gestures.length - 1; index >= 0; index -= 1) {
    const { action } = gestures[index];
    if (action?.action !== "play") continue;
    gestures[index].part = "begin";
    const next = gestures.findIndex((one, after) => after > index && (one.action || (action.end !== null && one.t > action.end + STOP_MS)));
    const until = next < 0 ? gestures.length : next;
    const stop = gestures.slice(index + 1, until).find((one) => one.type === "click" && action.end !== null && Math.abs(one.last - action.end) < STOP_MS);
    if (stop) Object.assign(stop, { action: { ...action }, part: "end" });
    else {
      const t = Math.max(gestures[index].last, Math.min(action.end ?? Infinity, gestures[until]?.t ?? gestures[index].last + 2000));
      gestures.splice(until, 0, { type: "wait", t, last: t, action: { ...action }, part: "end" });
    }
  }
}

const page = (gesture) => (gesture.arrived ? [{ kind: "page", path: exactly(gesture.arrived.path) }] : []);
const EXPECT = {
  filter_search: (gesture) => [
    ...(gesture.arrived ? [{ kind: "page" }] : []),
    ...(gesture.action.evidence === "rendered" ? [{ kind: "rows", targets: ROWS, request: SEARCH }] : []),
  ],
  download: () => [{ kind: "download" }],
  open_viewer: (gesture) => [...page(gesture), { kind: "slices" }],
  change_scan: () => [{ kind: "series" }, { kind: "slices" }],
  play: (gesture) => (gesture.part === "begin" ? [{ kind: "moving", images: 2 }] : []),
  scroll: () => [],
  annotate: () => [],
};

/** One step for each way that the wheel was turned; together they are one gesture. */
function wheels({ targets, turns, t, last }) {
  const all = turns.reduce((sum, notches) => sum + Math.abs(notches), 0);
  const notches_per_s = Math.min(100, Math.max(1, Math.round((all / Math.max(0.05, (last - t) / 1000)) * 10) / 10));
  return turns.map((notches) => ({ step: "wheel", targets, notches, notches_per_s }));
}

/** The step of a gesture, without its pause. `typed`: what the environment has to give, so far. */
function stepOf(gesture, typed) {
  const { type, targets } = gesture;
  switch (type) {
    case "document":
      return { step: "open", path: gesture.path };
    case "type": {
      const name = gesture.field === "text" ? `text${typed.push(gesture)}` : gesture.field;
      return { step: "type", name, targets, text: `\${${name}}`, ...(name === "password" ? { secret: true } : {}) };
    }
    case "keys":
      return { step: "press", keys: gesture.keys.map((key) => `{${KEYS[key] ?? key.toUpperCase()}}`).join("") };
    case "click":
      return { step: "click", targets, ...(gesture.middle ? { button: "middle" } : {}) };
    case "dblclick":
      return { step: "double_click", targets };
    case "drag":
      return { step: "drag", targets, at: gesture.at, ...(gesture.onto ? { onto: gesture.onto } : { by: gesture.by }) };
    case "select":
      return { step: "select", targets, option: `index=${gesture.index}` };
    case "file":
      return { step: "choose_file", targets, file: `\${file${typed.push(gesture)}}` };
    case "tab":
      return { step: "tab", which: gesture.which };
  }
  return { step: "wait" };
}

/**
 * `{scenario, notes}` of a recording (see lib/scenario_session.js): an object in the replayer's format 1, and in words what could not
 * become a step. Nothing that was typed is in it: what a scenario types comes from the environment.
 */
export function scenarioOf({ name, role, started_ms, tabs, events, markers, left_out }) {
  const gestures = gesturesOf(events);
  const lost = assign(actionsOf(markers, tabs), gestures);
  stretch(gestures);
  const typed = [];
  const steps = [];
  let over = null;
  for (const [index, gesture] of gestures.entries()) {
    const [step, ...more] = gesture.type === "wheel" ? wheels(gesture) : [stepOf(gesture, typed)];
    const { action, arrived } = gesture;
    if (action?.action === "open_viewer" && gestures[index + 1]?.which === "newest") {
      Object.assign(gesture, { part: "begin" });
      Object.assign(gestures[index + 1], { action, part: "end" });
    }
    const kind = action?.action;
    step.name ??= kind ? kind.replaceAll("_", " ") : (WORDS[gesture.type] ?? gesture.type);
    const think_s = over === null ? 0 : Math.min(LONGEST_THINK_S, seconds(gesture.t - over));
    if (think_s >= 0.05) step.think = { seconds: think_s, variation: VARIATION };
    if (kind) step.action = kind;
    if (gesture.part) step.part = gesture.part;
    if (kind && more.length > 0) step.part = "begin";
    const expect = gesture.part === "begin" && kind === "open_viewer" ? [] : (EXPECT[kind] ?? page)(gesture);
    if (expect.length > 0) step.expect = expect;
    if (["open_viewer", "change_scan", "download"].includes(kind)) step.timeout_s = SLOW_S;
    if (kind === "login" && gesture.at && arrived && arrived.path !== gesture.at) {
      step.refuse = [{ kind: "page", path: exactly(gesture.at), because: "check XNAT_USER and XNAT_PASSWORD" }];
    }
    steps.push(step);
    for (const one of more) steps.push({ ...one, name: step.name, ...(kind ? { action: kind, part: one === more.at(-1) ? "end" : "inside" } : {}) });
    const ended = action && !gesture.part ? action.end : null;
    over = Math.max(gesture.last, arrived?.t ?? 0, ended ?? 0);
  }
  const parameters = {};
  for (const { text, file } of steps) {
    const reference = /^\$\{(\w+)\}$/.exec(text ?? file ?? "")?.[1];
    if (reference) parameters[reference] = PARAMETERS[reference] ?? `\${env:${reference.toUpperCase()}}`;
  }
  const size = events.find((event) => event.window)?.window ?? [1280, 800];
  const scenario = {
    format: FORMAT,
    scenario: name,
    role,
    description: `Recorded with the Tracemark extension on ${new Date(started_ms).toISOString().slice(0, 10)}.`,
    parameters: { ...parameters, pace: 1 },
    window: size.map((side) => Math.max(300, side)),
    hosts: [],
    timeout_s: 60,
    steps,
  };
  return { scenario, notes: [...lost.map((action) => `What began ${action} was not seen: it is left out.`), ...said(left_out)] };
}

const LEFT_OUT = {
  letter: "Letters typed outside a field are not kept.",
  other_tab: "What was done in another tab is left out.",
  error: "Something was not understood.",
  too_much: "It was too long: the end is missing.",
};
const said = (left_out) => Object.keys(left_out).map((what) => LEFT_OUT[what]).filter(Boolean);
