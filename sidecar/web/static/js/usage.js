// The usage table, in the form of the study's Tables 1 and 2.

import { element, swatch } from "./dom.js";
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

export function table(rows, catalogue) {
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
export function notes(answer) {
  const lines = [...answer.notes];
  if (answer.total_cpu_seconds !== null) {
    lines.unshift(
      `All containers used ${digits(answer.total_cpu_seconds)} CPU-seconds in this range, ` +
        `${digits(answer.unattributed_cpu_seconds)} of them while no action was open.`,
    );
  }
  return lines.map((text) => element("li", {}, text));
}
