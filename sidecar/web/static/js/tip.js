// What is under the pointer or the crosshair, in words.

import { element, swatch } from "./dom.js";
import { bytes, clock, day, digits, length, percent } from "./format.js";
import { openAt } from "./regions.js";

const MOST = 8;

export class Tip {
  constructor(box, spoken) {
    this.box = box;
    this.spoken = spoken;
  }

  /** Show lines beside a point of the viewport; with `aloud` they are told to a screen reader as well. */
  show(lines, x, y, aloud = false) {
    this.box.replaceChildren(...lines);
    this.box.hidden = false;
    const { width, height } = this.box.getBoundingClientRect();
    const left = x + 16 + width > innerWidth ? x - width - 16 : x + 16;
    this.box.style.left = `${Math.max(4, left)}px`;
    this.box.style.top = `${Math.max(4, Math.min(y, innerHeight - height - 4))}px`;
    if (aloud) this.spoken.textContent = lines.map((line) => line.textContent).join("; ");
  }

  hide() {
    this.box.hidden = true;
  }
}

const line = (...content) => element("div", {}, ...content);

/** A chart at one time: values, open actions, gaps. */
export function chartTip({ name, time, span, row, actions, gaps, slack, catalogue }) {
  const today = day(time) === day(Date.now());
  const lines = [element("div", { class: "when" }, `${name} · ${today ? "" : `${day(time)} `}${clock(time, Math.min(span, 3600e3))}`)];
  if (row) {
    const most = row.peak !== null && row.peak - row.cpu > 1 ? ` (max ${percent(row.peak)})` : "";
    lines.push(line(element("span", { class: "cpu" }, `CPU ${percent(row.cpu)}${most} of one core`)));
    lines.push(line(element("span", { class: "memory" }, `memory ${bytes(row.memory)}`)));
  } else {
    lines.push(line("no sample"));
  }
  for (const gap of gaps) {
    if (gap.from - slack <= time && time <= (gap.to ?? Infinity) + slack) {
      const lasts = gap.to === null ? "still open" : length(gap.to - gap.from);
      lines.push(line(element("span", { class: "swatch hatched", "aria-hidden": "true" }), `gap: ${gap.reason} (${gap.part}, ${lasts})`));
    }
  }
  const open = new Map();
  for (const action of openAt(actions, time, slack)) open.set(action.name, [...(open.get(action.name) ?? []), action]);
  for (const known of catalogue.names.filter((one) => open.has(one)).slice(0, MOST)) {
    const these = open.get(known);
    const many = these.length > 1 ? ` × ${these.length}` : ` · ${who(these[0])} · ${length(these[0].end - these[0].start)}`;
    lines.push(line(swatch(catalogue.get(known)), `${catalogue.label(known)}${many}`));
  }
  return lines;
}

function who(action) {
  return action.session ? `${action.role ?? action.source} ${action.session.slice(-4)}` : "access log";
}

/** One action: whose, how long, and what it used on each container. */
export function actionTip(action, catalogue) {
  const lines = [
    element("div", { class: "when" }, swatch(catalogue.get(action.name)), `${catalogue.label(action.name)} · ${who(action)}`),
    line(`${clock(action.start)} for ${length(action.end - action.start)}${action.outcome === "completed" ? "" : `, ${action.outcome}`}`),
  ];
  for (const [container, used] of Object.entries(action.usage)) {
    if (used.cpu_seconds === null) continue;
    const parts = [`${digits(used.cpu_seconds)} CPU-s`, `peak ${percent(used.cpu_percent_peak)}`, `memory ${bytes(used.memory_bytes_peak)}`];
    lines.push(line(`${container}: ${parts.join(", ")}`));
  }
  const overlapped = Math.max(0, ...Object.values(action.usage).map((used) => used.overlapped));
  if (overlapped) lines.push(line(`${overlapped} other ${overlapped === 1 ? "action" : "actions"} open meanwhile: the sums count them too`));
  if (!Object.keys(action.usage).length) lines.push(line("its usage is not summed up yet"));
  return lines;
}
