// One container's curve: rows of /api/v1/samples, kept sorted, extended at the live edge, broken where nothing is known. Pure.

/** Steps that a curve may be down-sampled to, in milliseconds. */
const STEPS = [100, 250, 500, 1000, 2000, 5000, 10000, 15000, 30000, 60000, 120000, 300000, 600000, 1800000, 3600000];

export function stepFor(span, points = 1000) {
  return STEPS.find((step) => step * points >= span) ?? STEPS.at(-1);
}

export class Series {
  constructor(step) {
    this.step = step;
    this.rows = [];
  }

  /** Put rows in place of everything from the first of them on. */
  extend(rows) {
    if (!rows.length) return;
    const points = rows.map((row) => ({
      time: row.time_ns / 1e6,
      cpu: row.cpu_percent ?? null,
      peak: row.cpu_percent_max ?? row.cpu_percent ?? null,
      memory: row.memory_bytes_max ?? row.memory_bytes ?? null,
    }));
    let keep = this.rows.length;
    while (keep > 0 && this.rows[keep - 1].time >= points[0].time) keep -= 1;
    this.rows.length = keep;
    this.rows.push(...points);
  }

  /** Forget what is older than `time`, but one point, from which the line comes in. */
  trim(time) {
    let first = 0;
    while (first + 1 < this.rows.length && this.rows[first + 1].time < time) first += 1;
    if (first > 0) this.rows.splice(0, first);
  }

  /** From where to ask for news: the last step that may still have been filling. */
  get edge() {
    return this.rows.length ? this.rows.at(-1).time - this.step : null;
  }

  get last() {
    return this.rows.at(-1) ?? null;
  }

  /** Columns for the chart: [times, cpu, cpu peak, memory], with nulls in gaps and wherever samples stayed away. */
  columns(gaps) {
    const columns = [[], [], [], []];
    const longest = Math.max(3 * this.step, 3500);
    let before = null;
    for (const row of this.rows) {
      const absent =
        before !== null &&
        (row.time - before > longest || gaps.some((gap) => gap.from < row.time && (gap.to ?? Infinity) > before));
      if (absent) push(columns, (before + row.time) / 2, null, null, null);
      push(columns, row.time, row.cpu, row.peak, row.memory);
      before = row.time;
    }
    return columns;
  }

  /** Highest, 95th percentile and last CPU value between two times. */
  figures(from, to) {
    const inside = this.rows.filter((row) => row.time >= from && row.time <= to && row.cpu !== null);
    if (!inside.length) return null;
    const sorted = inside.map((row) => row.cpu).sort((a, b) => a - b);
    return {
      cpu: inside.at(-1).cpu,
      p95: sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.95))],
      max: inside.reduce((most, row) => Math.max(most, row.peak), 0),
      memory: inside.at(-1).memory,
    };
  }

  /** The row nearest to a time, if it is near enough to speak for it. */
  at(time) {
    let low = 0;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle].time < time) low = middle + 1;
      else high = middle;
    }
    const near = [this.rows[low - 1], this.rows[low]].filter(Boolean);
    near.sort((a, b) => Math.abs(a.time - time) - Math.abs(b.time - time));
    return near.length && Math.abs(near[0].time - time) <= Math.max(1.5 * this.step, 1500) ? near[0] : null;
  }
}

function push(columns, time, cpu, peak, memory) {
  columns[0].push(time);
  columns[1].push(cpu);
  columns[2].push(peak);
  columns[3].push(memory);
}
