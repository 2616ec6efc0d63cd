// The usage table, in the form of the study's Tables 1 and 2.

import { byId, element, swatch } from "./dom.js";
import { bytes, digits, percent } from "./format.js";

const HEADS = [
  ["Operation", "", ""],
  ["Container", "", ""],
  ["n", "", "completed actions"],
  ["Duration, s", "p50 (p95)", ""],
  ["CPU-seconds", "mean (90 % interval)", "per action; the interval is for the mean"],
  ["CPU, % of one core", "mean", "CPU time over open time"],
  ["Peak, % of one core", "p50 (for s)", "highest step of an action; the time above half the way from its mean"],
  ["Memory", "peak (rise p50)", "highest of all actions; the rise is against the begin of the action"],
  ["Sent", "mean", "bytes of the answers, from the access log, per action"],
  ["Requests", "mean", "per action"],
];

function table(rows, catalogue) {
  const head = element(
    "thead",
    {},
    element(
      "tr",
      {},
      ...HEADS.map(([name, how, help], index) =>
        element("th", { scope: "col", title: help || null, class: index > 1 ? "n" : null }, name, how ? element("small", {}, how) : null),
      ),
    ),
  );
  const groups = new Map();
  for (const row of rows) groups.set(row.action, [...(groups.get(row.action) ?? []), row]);
  const bodies = [...groups].map(([name, lines]) =>
    element("tbody", {}, ...lines.map((row, index) => line(row, index === 0 ? lines.length : 0, looks(name, catalogue)))),
  );
  return element("table", { class: "usage" }, head, ...bodies);
}

/** The study's DOWNLOAD & LOGOUT is the sum of two actions and looks like both. */
function looks(name, catalogue) {
  return (name === "download_logout" ? ["download", "logout"] : [name]).map((one) => catalogue.get(one));
}

function line(row, span, look) {
  const cell = (...text) => element("td", { class: "n" }, ...text);
  const soft = (text) => element("small", {}, ` ${text}`);
  const { cpu_seconds: cpu, duration_s: duration } = row;
  const interval = cpu && cpu.low !== null ? `(${digits(cpu.low)}–${digits(cpu.high)})` : "(–)";
  return element(
    "tr",
    {},
    span ? element("th", { scope: "rowgroup", rowspan: span, class: "operation" }, ...look.map(swatch), look.map((one) => one.label).join(" & ")) : null,
    element("td", {}, row.container),
    cell(String(row.count), row.overlapped ? soft(`${row.overlapped} overlapped`) : null),
    cell(digits(duration.p50), soft(`(${digits(duration.p95)})`)),
    cell(cpu ? digits(cpu.estimate) : "–", cpu ? soft(interval) : null),
    cell(percent(row.cpu_percent_mean)),
    cell(percent(row.cpu_percent_peak), row.peak_duration_s === null ? null : soft(`(${digits(row.peak_duration_s, 2)} s)`)),
    cell(bytes(row.memory_bytes_peak), row.memory_rise_bytes === null ? null : soft(`(+${bytes(row.memory_rise_bytes)})`)),
    cell(bytes(row.sent_bytes)),
    cell(digits(row.requests, 2)),
  );
}

/** What stands below the table: idle use, totals, and what a reader must know. */
function notes(answer) {
  const lines = [...answer.notes];
  if (answer.total_cpu_seconds !== null) {
    lines.unshift(
      `All containers used ${digits(answer.total_cpu_seconds)} CPU-seconds in this range, ` +
        `${digits(answer.unattributed_cpu_seconds)} of them while no action was open.`,
    );
  }
  return lines.map((text) => element("li", {}, text));
}

/** The table of all sessions, or of one role as in the study. */
export class UsageView {
  #chosen = ""; // title of a role's table; empty: all sessions

  /** `hidden`: names of actions that are switched off. */
  constructor(catalogue, hidden) {
    this.catalogue = catalogue;
    this.hidden = hidden;
  }

  show(answer) {
    this.latest = answer;
    const titles = answer.tables.map((one) => one.title);
    if (!titles.includes(this.#chosen)) this.#chosen = "";
    this.#offer(titles);
    const { rows } = answer.tables.find((one) => one.title === this.#chosen) ?? answer;
    const shown = rows.filter((row) => !this.hidden.has(row.action));
    const none = "No completed action in this range and with these filters: choose a longer range above.";
    byId("usage-body").replaceChildren(shown.length ? table(shown, this.catalogue) : element("p", { class: "hint" }, none));
    byId("usage-notes").replaceChildren(...notes(answer));
  }

  #offer(titles) {
    const box = byId("usage-tables");
    const key = `${titles}/${this.#chosen}`;
    if (box.dataset.key === key) return;
    box.dataset.key = key;
    const choice = (title, text) => {
      const pressed = String(this.#chosen === title);
      const button = element("button", { type: "button", "aria-pressed": pressed, "data-table": title }, text);
      button.addEventListener("click", () => {
        this.#chosen = title;
        this.show(this.latest);
        box.querySelector("[aria-pressed=true]").focus();
      });
      return button;
    };
    box.replaceChildren(...(titles.length ? [choice("", "all sessions"), ...titles.map((title) => choice(title, title))] : []));
  }
}
