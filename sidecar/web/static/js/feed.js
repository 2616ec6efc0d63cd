// What the page knows of a range: curves, actions, gaps. Asked for as a whole now and then, and at the live edge in between.

import { all, get } from "./api.js";
import { ns } from "./format.js";
import { Series, stepFor } from "./series.js";

export const MOST_ACTIONS = 5000;
/** Actions that ended within this time may still be new to us. */
const FRESH_MS = 120e3;
/** Past this length frames (one a second) tell as much as exact samples and are a tenth of the rows. */
const FRAMES_MS = 2 * 3600e3;

export class Feed {
  #asking = new AbortController();
  #actions = new Map();
  #open = []; // actions that have not ended: they reach to the edge of what is known
  series = new Map(); // container -> Series
  containers = [];
  gaps = [];
  more = false; // whether some actions of the range were left out
  suppressed = 0; // actions that are not told because too few people stand behind them

  /** Forget the curves and give up every question about the range so far. */
  restart() {
    this.#asking.abort();
    this.#asking = new AbortController();
    this.series.clear();
  }

  /** GET, given up when the range changes. */
  ask(path, parameters) {
    return get(path, parameters, this.#asking.signal);
  }

  get actions() {
    return [...this.#actions.values(), ...this.#open.filter((one) => !this.#actions.has(one.id))];
  }

  /** Time of the newest sample in the range, 0 when there is none. */
  get last() {
    return Math.max(0, ...[...this.series.values()].map((series) => series.last?.time ?? 0));
  }

  /** Time of the last sample of all, 0 when there never was one. */
  get newest() {
    return Math.max(0, ...this.containers.map((one) => (one.last_sample?.time_ns ?? 0) / 1e6));
  }

  /** Ask for what is new in a range, or for all that is in it. Throws AbortError when the range changes meanwhile. */
  async poll({ from, to }, whole) {
    const { signal } = this.#asking;
    const [containers, gaps, found] = await Promise.all([
      whole ? this.ask("containers") : null,
      this.ask("gaps", { from: ns(from), to: ns(to) }),
      all(
        "actions",
        { from: ns(whole ? from : Math.max(from, to - FRESH_MS)), to: ns(to), overlapping: "true" },
        MOST_ACTIONS,
        signal,
      ),
    ]);
    if (containers) this.containers = containers.rows;
    this.gaps = gaps.rows.map(gapOf);
    if (whole) {
      this.#actions.clear();
      this.more = found.more;
      this.suppressed = found.suppressed;
    }
    for (const row of found.rows) this.#actions.set(row.action_id, actionOf(row));
    this.#open = found.open.map((row) =>
      actionOf({ ...row, duration_ns: Math.max(0, to * 1e6 - row.start_ns), outcome: "not ended yet", usage: {} }),
    );
    const step = stepFor(to - from);
    await Promise.all(this.containers.map((container) => this.#pollSeries(container, step, from, to, signal)));
  }

  async #pollSeries({ name, sources }, step, from, to, signal) {
    if (this.series.get(name)?.step !== step) this.series.set(name, new Series(step));
    const series = this.series.get(name);
    const begin = Math.max(from - 2 * step, series.edge ?? 0);
    const answer = await get(
      "samples",
      {
        container: name,
        source: to - from > FRAMES_MS && sources.includes("docker") ? "docker" : null,
        from: ns(begin - (begin % step)),
        to: ns(to),
        step: `${step}ms`,
      },
      signal,
    );
    series.extend(answer.rows);
    series.trim(from);
  }
}

function gapOf(row) {
  return {
    from: row.start_ns / 1e6,
    to: row.end_ns === null ? null : row.end_ns / 1e6,
    subject: row.subject,
    reason: row.reason,
    part: row.part,
  };
}

function actionOf(row) {
  const start = row.start_ns / 1e6;
  return {
    id: row.action_id,
    name: row.action,
    session: row.session,
    role: row.role ?? row.scenario,
    source: row.source,
    outcome: row.outcome,
    start,
    end: start + row.duration_ns / 1e6,
    usage: row.usage,
  };
}
