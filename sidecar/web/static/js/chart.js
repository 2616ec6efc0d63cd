// One container's chart: CPU on the left axis, memory on the right, action regions and gaps behind them. Drawn by uPlot.

import { bytes, clock, percent } from "./format.js";
import { hatch, token } from "./paint.js";
import { gather, segments } from "./regions.js";

export const LEFT = 92;
export const RIGHT = 72;
const HEIGHT = 148;

/** The top of an axis of percent: 1, 2, 2.5 or 5 times a power of ten, and never so low that idle looks busy. */
function percentTop(most) {
  const wanted = Math.max(10, most * 1.05);
  const power = 10 ** Math.floor(Math.log10(wanted));
  return power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= wanted);
}

function bytesStep(most) {
  const unit = 2 ** Math.floor(Math.log2(Math.max(most, 1024)));
  return unit / 2;
}

function bytesTop(most) {
  const step = bytesStep(most) / 2;
  return Math.ceil((most * 1.08) / step) * step;
}

export class Chart {
  /** `on.zoom(from, to)`, `on.hover(chart, time | null, event)`, `on.reset()`; times in milliseconds. */
  constructor(host, container, catalogue, on) {
    this.container = container;
    this.on = on;
    this.catalogue = catalogue;
    this.view = { from: 0, to: 1 };
    this.actions = [];
    this.gaps = [];
    this.regions = [];
    this.host = host;
    this.plot = new uPlot(this.#options(), [[], [], [], []], host);
    host.addEventListener("keydown", (event) => this.#key(event));
    host.addEventListener("blur", () => this.#leave());
    this.plot.over.addEventListener("dblclick", () => on.reset());
  }

  /** New data, actions and range; draws once. */
  show(columns, actions, gaps, view) {
    this.actions = actions;
    this.gaps = gaps;
    this.view = view;
    this.regions = segments(actions, view.from, view.to, this.catalogue.names);
    Object.assign(this.host.dataset, { from: view.from, to: view.to, last: columns[0].at(-1) ?? "", regions: this.regions.length });
    this.plot.batch(() => {
      this.plot.setData(columns, false);
      this.plot.setScale("x", { min: view.from, max: view.to });
    });
  }

  resize() {
    const width = this.host.clientWidth;
    if (width && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  redraw() {
    this.plot.redraw(false);
  }

  #options() {
    const axis = (more) => ({
      font: "11px system-ui, sans-serif",
      ticks: { show: false },
      grid: { stroke: () => token("--grid"), width: 1 },
      gap: 4,
      ...more,
    });
    return {
      width: this.host.clientWidth || 800,
      height: HEIGHT,
      ms: 1,
      padding: [8, 0, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        points: { size: 7, width: 0, fill: (plot, index) => plot.series[index].stroke(), show: (plot, index) => index !== 2 },
        drag: { x: true, y: false, setScale: false },
        sync: { key: "tracemark", setSeries: false, filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
      },
      scales: {
        x: { time: true },
        cpu: { range: (_, low, high) => [0, percentTop(high ?? 0)] },
        memory: { range: (_, low, high) => [0, bytesTop(high ?? 0)] },
      },
      axes: [
        axis({
          stroke: () => token("--ink-2"),
          size: 20,
          values: (plot, splits) => splits.map((split) => clock(Math.round(split / 100) * 100, plot.scales.x.max - plot.scales.x.min)),
          space: 78,
        }),
        axis({
          scale: "cpu",
          stroke: () => token("--cpu"),
          size: LEFT,
          space: 26,
          values: (_, splits) => splits.map((split) => `${split} %`),
        }),
        axis({
          scale: "memory",
          side: 1,
          stroke: () => token("--memory"),
          size: RIGHT,
          grid: { show: false },
          splits: (plot) => {
            const { max } = plot.scales.memory;
            const step = bytesStep(max / 1.08);
            return Array.from({ length: Math.floor(max / step) + 1 }, (_, index) => index * step);
          },
          values: (_, splits) => splits.map((split) => (split === 0 ? "0" : bytes(split).replace(/\.?0+ /, " "))),
        }),
      ],
      series: [
        {},
        { scale: "cpu", stroke: () => token("--cpu"), width: 1.6, points: { show: false }, spanGaps: false },
        { scale: "cpu", stroke: () => token("--cpu-soft"), width: 1, points: { show: false }, spanGaps: false },
        { scale: "memory", stroke: () => token("--memory"), width: 1.6, points: { show: false }, spanGaps: false },
      ],
      bands: [{ series: [2, 1], fill: () => token("--cpu-band") }],
      hooks: {
        drawClear: [(plot) => this.#background(plot)],
        setSelect: [(plot) => this.#selected(plot)],
        setCursor: [(plot) => this.#hovered(plot)],
      },
    };
  }

  #background(plot) {
    const { ctx } = plot;
    const { left, top, width, height } = plot.bbox;
    const x = (time) => Math.min(left + width, Math.max(left, plot.valToPos(time, "x", true)));
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    ctx.fillStyle = token("--plot");
    ctx.fillRect(left, top, width, height);
    const alpha = Number(token("--region-alpha"));
    const narrow = 2 * uPlot.pxRatio;
    const { wide, columns } = gather(this.regions, ((this.view.to - this.view.from) * narrow) / width);
    for (const column of columns) {
      // A column of many short actions is the fainter the less of its time they were open, yet never invisible.
      ctx.globalAlpha = alpha * Math.max(0.45, column.share);
      let at = top;
      for (const [name, share] of column.names) {
        ctx.fillStyle = this.catalogue.colour(name);
        ctx.fillRect(x(column.from), at, narrow, height * share);
        at += height * share;
      }
    }
    for (const region of wide) {
      // Actions open at the same time share the height, each in its own colour.
      const from = x(region.from);
      const across = x(region.to) - from;
      const high = height / region.names.length;
      region.names.forEach((name, index) => {
        ctx.globalAlpha = alpha;
        ctx.fillStyle = this.catalogue.colour(name);
        ctx.fillRect(from, top + index * high, across, high);
        if (across > 2 * narrow && region.begins.includes(name)) {
          ctx.globalAlpha = Math.min(1, 3 * alpha);
          ctx.fillRect(from, top + index * high, uPlot.pxRatio, high);
        }
      });
    }
    ctx.globalAlpha = 1;
    for (const gap of this.gaps) {
      const from = x(gap.from);
      const wide = Math.max(2 * uPlot.pxRatio, x(gap.to ?? this.view.to) - from);
      ctx.fillStyle = token("--gap");
      ctx.fillRect(from, top, wide, height);
      ctx.fillStyle = hatch(ctx, token("--gap-line"));
      ctx.fillRect(from, top, wide, height);
    }
    ctx.restore();
  }

  #selected(plot) {
    const { left, width } = plot.select;
    if (width > 3) {
      const from = plot.posToVal(left, "x");
      const to = plot.posToVal(left + width, "x");
      plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      this.on.zoom(from, to);
    }
  }

  #hovered(plot) {
    const { left, event } = plot.cursor;
    if (!event && !this.keyed) return; // told by another chart's crosshair
    this.on.hover(this, left >= 0 ? plot.posToVal(left, "x") : null, left);
  }

  /** Arrow keys move the crosshair, + and - zoom around it, Escape goes back. */
  #key(event) {
    const width = this.plot.over.clientWidth;
    const at = this.plot.cursor.left >= 0 ? this.plot.cursor.left : width / 2;
    const step = event.shiftKey ? width / 10 : width / 100;
    const time = this.plot.posToVal(at, "x");
    const span = this.view.to - this.view.from;
    const moves = { ArrowLeft: -step, ArrowRight: step, Home: -width, End: width };
    if (event.key in moves) {
      const left = Math.min(width, Math.max(0, at + moves[event.key]));
      this.keyed = true;
      this.plot.setCursor({ left, top: 10 }, true, true);
      this.keyed = false;
    } else if (event.key === "+" || event.key === "=") {
      this.on.zoom(time - span / 4, time + span / 4);
    } else if (event.key === "-") {
      this.on.zoom(time - span, Math.min(Date.now(), time + span));
    } else if (event.key === "Escape") {
      this.#leave();
      this.on.reset();
    } else {
      return;
    }
    event.preventDefault();
  }

  #leave() {
    this.plot.setCursor({ left: -10, top: -10 }, true, true);
    this.on.hover(this, null, -10);
  }
}

/** What the line above a chart says. */
export function headline(figures, limit) {
  if (!figures) return { cpu: "CPU –", memory: "memory –" };
  return {
    cpu: `CPU ${percent(figures.cpu)} · p95 ${percent(figures.p95)} · max ${percent(figures.max)} of one core`,
    memory: `memory ${bytes(figures.memory)}${limit ? ` of ${bytes(limit)}` : ""}`,
  };
}
