// The live page: what is looked at (range, filters), the two polling loops, and who draws what.

import { all, ApiError, get } from "./api.js";
import { Catalogue } from "./catalogue.js";
import { Chart, headline } from "./chart.js";
import { byId, element } from "./dom.js";
import { clock, day, length, local, ns, stretch } from "./format.js";
import { cards } from "./health.js";
import { Lanes } from "./lanes.js";
import { repaint } from "./paint.js";
import { Series, stepFor } from "./series.js";
import { actionTip, chartTip, Tip } from "./tip.js";
import { notes, table } from "./usage.js";

const RETRY_MS = 2000;
/** Pause between two looks at the live edge; a long range changes slowly and costs more. */
const liveMs = () => (failing ? RETRY_MS : state.span > 7200e3 ? 900 : 500);
/** After this time everything in the range is asked for again: actions that were told late, containers that came or went. */
const wholeMs = () => Math.max(15e3, state.span / 500);
const MOST_ACTIONS = 5000;
/** Actions that ended within this time may still be new to us. */
const FRESH_MS = 120e3;

const state = {
  live: true, // the right edge follows the clock
  paused: false,
  span: 900e3,
  view: { from: Date.now() - 900e3, to: Date.now() },
  source: "",
  session: "",
  hidden: new Set(), // names of actions that are switched off
  more: false,
  table: "", // whose usage table: all sessions', or a role's
};
let usage;
let catalogue;
let lanes;
const tip = new Tip(byId("tip"), byId("spoken"));
const panels = new Map(); // container -> {chart, series, head…}
const actions = new Map(); // action id -> action
let gaps = [];
let newest = 0; // time of the last sample of all, also outside the range
let skew = 0; // the sidecar's clock minus this machine's
let generation = 0; // counts the changes of the range: answers to older questions are dropped

let asking = new AbortController(); // ends the questions about an older range
let wholeAt = 0; // when everything in the range was last asked for
let failing = false; // whether the last question went unanswered
let loops; // names of loops -> functions that let them run at once

const now = () => Date.now() + skew;

// -- what is looked at

function look(change) {
  Object.assign(state, change);
  generation += 1;
  asking.abort();
  asking = new AbortController();
  wholeAt = 0;
  tip.hide();
  for (const panel of panels.values()) panel.series = null;
  document.documentElement.dataset.busy = "yes";
  byId("live-text").textContent = "loading…";
  byId("live").dataset.look = "still";
  showRange();
  loops.curves();
}

function zoom(from, to) {
  if (to - from < 1000) [from, to] = [(from + to) / 2 - 500, (from + to) / 2 + 500];
  look({ live: false, paused: false, view: { from, to } });
}

function follow(span = state.span) {
  look({ live: true, paused: false, span, view: { from: now() - span, to: now() } });
}

function pause() {
  if (state.paused || !state.live) return follow();
  state.paused = true;
  state.view = { from: now() - state.span, to: now() };
  showRange();
  draw();
}

function showRange() {
  for (const button of byId("ranges").querySelectorAll("[data-range]")) {
    button.setAttribute("aria-pressed", String(state.live && Number(button.dataset.range) * 1000 === state.span));
  }
  byId("custom").setAttribute("aria-pressed", String(!state.live));
  const still = state.paused || !state.live;
  byId("pause").textContent = still ? "Back to live" : "Pause";
  byId("pause").setAttribute("aria-pressed", String(state.paused));
  document.documentElement.dataset.mode = still ? "still" : "live";
}

// -- asking

/** GET, given up when the range changes. */
const ask = (path, parameters) => get(path, parameters, asking.signal);

async function poll(whole) {
  const asked = generation;
  if (state.live && !state.paused) state.view = { from: now() - state.span, to: now() };
  const { from, to } = state.view;
  const step = stepFor(to - from);
  try {
    const [found, gapRows] = await Promise.all([
      whole ? ask("containers") : null,
      ask("gaps", { from: ns(from), to: ns(to) }),
      pollActions(whole, from, to, asked),
    ]);
    if (asked !== generation) return;
    gaps = gapRows.rows.map((gap) => ({
      from: gap.start_ns / 1e6,
      to: gap.end_ns === null ? null : gap.end_ns / 1e6,
      subject: gap.subject,
      reason: gap.reason,
      part: gap.part,
    }));
    if (found) arrange(found.rows);
    await Promise.all([...panels.values()].map((panel) => pollSeries(panel, step, from, to, asked)));
    if (asked === generation) {
      answered();
      draw();
    }
  } catch (error) {
    if (whole && asked === generation) wholeAt = 0;
    failed(error);
  }
}

async function pollSeries(panel, step, from, to, asked) {
  if (!panel.series || panel.series.step !== step) panel.series = new Series(step);
  const { series } = panel;
  const begin = Math.max(from - 2 * step, series.edge ?? 0);
  const answer = await ask("samples", {
    container: panel.name,
    source: to - from > 2 * 3600e3 && panel.sources.includes("docker") ? "docker" : null, // a tenth of the rows
    from: ns(begin - (begin % step)),
    to: ns(to),
    step: `${step}ms`,
  });
  if (asked !== generation) return;
  series.extend(answer.rows);
  series.trim(from);
}

async function pollActions(whole, from, to, asked) {
  const start = whole ? from : Math.max(from, to - FRESH_MS);
  const { rows, more } = await all("actions", { from: ns(start), to: ns(to), overlapping: "true" }, MOST_ACTIONS, asking.signal);
  if (asked !== generation) return;
  if (whole) {
    actions.clear();
    state.more = more;
  }
  for (const row of rows) {
    const begin = row.start_ns / 1e6;
    actions.set(row.action_id, {
      id: row.action_id,
      name: row.action,
      session: row.session,
      role: row.role ?? row.scenario,
      source: row.source,
      outcome: row.outcome,
      start: begin,
      end: begin + row.duration_ns / 1e6,
      usage: row.usage,
    });
  }
}

async function pollUsage() {
  const asked = generation;
  const { from, to } = state.view;
  try {
    const answer = await ask("usage", { from: ns(from), to: ns(to), source: state.source, session: state.session });
    if (asked !== generation) return;
    usage = answer;
    byId("usage-range").textContent = stretch(from, to, now());
    showUsage();
  } catch (error) {
    failed(error);
  }
}

/** The table of all sessions, or of one role as in the study. */
function showUsage() {
  const titles = usage.tables.map((one) => one.title);
  if (!titles.includes(state.table)) state.table = "";
  const choice = (title, text) => {
    const button = element("button", { type: "button", "aria-pressed": String(state.table === title), "data-table": title }, text);
    button.addEventListener("click", () => {
      state.table = title;
      showUsage();
      byId("usage-tables").querySelector("[aria-pressed=true]").focus();
    });
    return button;
  };
  const box = byId("usage-tables");
  if (box.dataset.key !== `${titles}/${state.table}`) {
    box.dataset.key = `${titles}/${state.table}`;
    box.replaceChildren(...(titles.length ? [choice("", "all sessions"), ...titles.map((title) => choice(title, title))] : []));
  }
  const chosen = usage.tables.find((one) => one.title === state.table) ?? usage;
  const rows = chosen.rows.filter((row) => !state.hidden.has(row.action));
  byId("usage-body").replaceChildren(
    rows.length
      ? table(rows, catalogue)
      : element("p", { class: "hint" }, "No completed action in this range and with these filters: choose a longer range above."),
  );
  byId("usage-notes").replaceChildren(...notes(usage));
}

async function pollHealth() {
  try {
    const answer = await get("health");
    byId("health").replaceChildren(...cards(answer));
    skew = answer.time_ns / 1e6 - Date.now();
  } catch (error) {
    failed(error);
  }
}

async function pollHeadroom() {
  try {
    const { users, limiting } = await get("capacity");
    const section = byId("headroom");
    section.hidden = false;
    if (!users || !limiting) return void (byId("headroom-text").textContent = "Not known yet: no limit has been measured.");
    byId("headroom-text").textContent =
      `${Math.floor(users.estimate)} users (90 %: ${Math.floor(users.low)}–${Math.floor(users.high)}) until ` +
      `${limiting.resource} of ${limiting.container} is the first limit.`;
  } catch (error) {
    byId("headroom").hidden = true; // nothing to tell yet
    failed(error);
  }
}

// -- drawing

function arrange(containers) {
  // The busiest first; once placed, a container stays where it is.
  const busy = (one) => one.last_sample?.cpu_seconds_total ?? 0;
  const known = [...panels.keys()];
  const place = (one) => (known.includes(one.name) ? known.indexOf(one.name) : known.length);
  containers = [...containers].sort((a, b) => place(a) - place(b) || busy(b) - busy(a));
  const names = containers.map((one) => one.name);
  for (const [name, panel] of panels) {
    if (!names.includes(name)) {
      panel.chart.plot.destroy();
      panel.root.remove();
      panels.delete(name);
    }
  }
  for (const told of containers) {
    if (!panels.has(told.name)) panels.set(told.name, makePanel(told.name));
    const panel = panels.get(told.name);
    const limit = told.memory_limit_bytes;
    panel.limit = limit;
    panel.sources = told.sources;
    panel.stateText.textContent = told.state ?? "";
  }
  newest = Math.max(0, ...containers.map((one) => (one.last_sample?.time_ns ?? 0) / 1e6));
}

function makePanel(name) {
  const plot = element("div", {
    class: "plot",
    tabindex: "0",
    role: "application",
    "aria-roledescription": "chart",
    "data-container": name,
    "aria-label": `CPU and memory of ${name} over time. Arrow keys read values, plus and minus zoom, Escape returns to live.`,
  });
  const panel = {
    name,
    series: null,
    cpuText: element("span", { class: "cpu" }),
    memoryText: element("span", { class: "memory" }),
    stateText: element("span", { class: "aside" }),
  };
  panel.root = element(
    "section",
    { class: "panel curve", "aria-label": name },
    element("div", { class: "title" }, element("h2", {}, name), panel.stateText, panel.cpuText, panel.memoryText),
    plot,
  );
  byId("curves").append(panel.root);
  panel.chart = new Chart(plot, name, catalogue, {
    zoom,
    reset: () => follow(),
    hover: (chart, time, left) => {
      if (time === null) return tip.hide();
      const box = chart.plot.over.getBoundingClientRect();
      const span = state.view.to - state.view.from;
      const text = chartTip({
        name,
        time,
        span,
        row: panel.series?.at(time) ?? null,
        actions: chart.actions,
        gaps: chart.gaps,
        slack: span / box.width,
        catalogue,
      });
      tip.show(text, box.left + left, box.top + 12, chart.keyed);
    },
  });
  return panel;
}

function shownActions() {
  return [...actions.values()]
    .filter(
      (one) =>
        one.end > state.view.from &&
        one.start < state.view.to &&
        !state.hidden.has(one.name) &&
        (!state.session || one.session === state.session) &&
        (!state.source || (state.source === "real" ? one.source !== "replay" : one.source === state.source)),
    )
    .sort((a, b) => a.start - b.start);
}

function draw() {
  const { view } = state;
  const shown = shownActions();
  let samples = 0;
  for (const panel of panels.values()) {
    const mine = gaps.filter((gap) => gap.subject === "" || gap.subject === panel.name);
    const columns = panel.series?.columns(mine) ?? [[], [], [], []];
    samples += columns[0].length;
    panel.chart.show(columns, shown, mine, view);
    const text = headline(panel.series?.figures(view.from, view.to), panel.limit);
    panel.cpuText.textContent = text.cpu;
    panel.memoryText.textContent = text.memory;
  }
  byId("empty").hidden = samples > 0;
  byId("older").hidden = newest === 0;
  if (newest) byId("older-when").textContent = `${day(newest)} ${clock(newest)}`;
  byId("curves").hidden = samples === 0;
  const { sessions, shared } = lanes.show(shown, view);
  byId("lanes-empty").hidden = sessions > 0;
  byId("lanes-note").textContent =
    `${sessions} ${sessions === 1 ? "session" : "sessions"}, ${shown.length} actions` +
    (shared ? "; a lane per role, choose a shorter range for a lane per session" : "") +
    (state.more ? `; only the first ${MOST_ACTIONS} actions of this range are loaded` : "");
  byId("shown").textContent = `${stretch(view.from, view.to, now())} (${length(view.to - view.from)}, ${zone()})`;
  listSessions();
}

function zone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone ?? "local time";
}

function listSessions() {
  const select = byId("session");
  const found = new Map();
  for (const one of actions.values()) if (one.session) found.set(one.session, `${one.role ?? one.source} ${one.session.slice(-4)}`);
  if (state.session && !found.has(state.session)) found.set(state.session, `… ${state.session.slice(-4)}`);
  const key = [...found.keys()].join();
  if (select.dataset.key === key || document.activeElement === select) return;
  select.dataset.key = key;
  const options = [...found].sort((a, b) => (a[1] < b[1] ? -1 : 1)).map(([id, text]) => element("option", { value: id }, text));
  select.replaceChildren(element("option", { value: "" }, "all sessions"), ...options);
  select.value = state.session;
}

// -- whether it lives

let lastAnswer = Date.now();

function answered() {
  failing = false;
  lastAnswer = Date.now();
  if (document.documentElement.dataset.busy) loops.usage(); // the curves of a new range come first
  delete document.documentElement.dataset.busy;
  byId("problem").hidden = true;
  const last = Math.max(0, ...[...panels.values()].map((panel) => panel.series?.last?.time ?? 0));
  const behind = now() - last;
  let text = "live";
  let look = "good";
  if (!state.live) [text, look] = ["looking back", "still"];
  else if (state.paused) [text, look] = [`paused at ${clock(state.view.to)}`, "still"];
  else if (!last) [text, look] = ["live, no samples", "still"];
  else if (behind > 10000) [text, look] = [`no sample for ${length(behind)}`, "bad"];
  byId("live").dataset.look = look;
  if (byId("live-text").textContent !== text) byId("live-text").textContent = text;
}

function failed(error) {
  if (error.name === "AbortError") return; // the range has changed meanwhile
  if (!(error instanceof ApiError)) throw error;
  failing = true;
  byId("live").dataset.look = "bad";
  byId("live-text").textContent = "not connected";
  const problem = byId("problem");
  problem.hidden = false;
  problem.textContent = error.status
    ? error.message
    : `The sidecar has not answered since ${clock(lastAnswer)}. Trying again; is \`tracemark serve\` running?`;
}

// -- loops

/**
 * Run `work` again and again, `pause()` milliseconds after it ended; while the page is hidden it rests. Returns a function that
 * runs it at once, or once more if it is running: never twice at the same time.
 */
function every(pause, work) {
  let running = false;
  let again = false;
  let timer = null;
  const turn = async () => {
    clearTimeout(timer);
    again ||= running;
    if (running || document.hidden) return;
    running = true;
    try {
      await work();
    } finally {
      running = false;
      timer = setTimeout(turn, again ? 0 : pause());
      again = false;
    }
  };
  document.addEventListener("visibilitychange", turn);
  turn();
  return turn;
}

function wire() {
  byId("ranges").addEventListener("click", (event) => {
    const { range } = event.target.dataset ?? {};
    if (range) follow(Number(range) * 1000);
  });
  byId("pause").addEventListener("click", pause);
  byId("older-show").addEventListener("click", () => zoom(newest - state.span, newest + 1000));
  byId("source").addEventListener("change", (event) => refilter({ source: event.target.value }));
  byId("session").addEventListener("change", (event) => refilter({ session: event.target.value }));
  byId("theme").addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).colorScheme.includes("dark");
    const chosen = dark ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    try {
      localStorage.setItem("tracemark-theme", chosen);
    } catch {
      // Storage is switched off: the choice lasts until the page is left.
    }
    recolour();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  wireDialog();
  new ResizeObserver(() => {
    for (const panel of panels.values()) panel.chart.resize();
    if (lanes) draw();
  }).observe(document.querySelector("main"));
}

function wireDialog() {
  const dialog = byId("range-dialog");
  byId("custom").addEventListener("click", () => {
    byId("range-from").value = local(state.view.from);
    byId("range-to").value = local(state.view.to);
    byId("range-wrong").textContent = "";
    dialog.showModal();
  });
  byId("range-cancel").addEventListener("click", () => dialog.close());
  byId("range-form").addEventListener("submit", (event) => {
    const from = new Date(byId("range-from").value).getTime();
    const to = new Date(byId("range-to").value).getTime();
    if (from < to) return zoom(from, to);
    event.preventDefault();
    byId("range-wrong").textContent = "From must be earlier than To.";
  });
}

function refilter(change) {
  Object.assign(state, change);
  tip.hide();
  draw();
  if (state.paused) pollUsage();
  else loops.usage();
}

function recolour() {
  repaint();
  for (const panel of panels.values()) panel.chart.redraw();
  draw();
}

async function begin() {
  for (;;) {
    try {
      catalogue = new Catalogue((await get("catalogue")).rows);
      break;
    } catch (error) {
      failed(error);
      await new Promise((done) => setTimeout(done, 2000));
    }
  }
  lanes = new Lanes(byId("lanes"), catalogue, {
    hover: (action, x, y, keyed) => (action ? tip.show(actionTip(action, catalogue), x, y + 14, keyed) : tip.hide()),
    choose: () => draw(),
  });
  byId("chips").replaceChildren(...catalogue.chips(state.hidden, () => refilter({})));
  wire();
  showRange();
  loops = {
    curves: every(liveMs, async () => {
      const due = Date.now() - wholeAt > wholeMs();
      const still = state.paused || !state.live;
      if (state.paused && wholeAt) return;
      if (still && !due) return;
      if (due) wholeAt = Date.now();
      await poll(due);
    }),
    // A long range is costly to sum up and changes little.
    usage: every(
      () => Math.min(60e3, Math.max(3000, state.span / 200)),
      async () => {
        if (!state.paused) await pollUsage();
      },
    ),
  };
  every(() => 5000, pollHealth);
  if (document.documentElement.dataset.capacity === "yes") every(() => 10000, pollHeadroom);
}

begin();
