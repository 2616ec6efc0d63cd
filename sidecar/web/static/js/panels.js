// A panel per container: its name, state and figures in a line, its chart below.

import { Chart, headline } from "./chart.js";
import { byId, element } from "./dom.js";
import { chartTip } from "./tip.js";

export class Panels {
  #panels = new Map();

  /** `on.zoom(from, to)` and `on.reset()` as the charts tell them. */
  constructor(catalogue, tip, on) {
    this.catalogue = catalogue;
    this.tip = tip;
    this.on = on;
  }

  /** Show a range; returns how many points were drawn. */
  show(feed, actions, view) {
    this.#arrange(feed.containers);
    let points = 0;
    for (const [name, panel] of this.#panels) {
      const series = feed.series.get(name) ?? null;
      const gaps = feed.gaps.filter((gap) => gap.subject === "" || gap.subject === name);
      const columns = series?.columns(gaps) ?? [[], [], [], []];
      panel.series = series;
      panel.chart.show(columns, actions, gaps, view);
      const text = headline(series?.figures(view.from, view.to), panel.limit);
      panel.cpuText.textContent = text.cpu;
      panel.memoryText.textContent = text.memory;
      points += columns[0].length;
    }
    return points;
  }

  resize() {
    for (const { chart } of this.#panels.values()) chart.resize();
  }

  redraw() {
    for (const { chart } of this.#panels.values()) chart.redraw();
  }

  /** Panels come and go with their containers. The busiest is first; once placed, a container stays where it is. */
  #arrange(containers) {
    const names = new Set(containers.map((one) => one.name));
    for (const [name, panel] of this.#panels) {
      if (names.has(name)) continue;
      panel.chart.plot.destroy();
      panel.root.remove();
      this.#panels.delete(name);
    }
    const busy = (one) => one.last_sample?.cpu_seconds_total ?? 0;
    for (const told of [...containers].sort((a, b) => busy(b) - busy(a))) {
      if (!this.#panels.has(told.name)) this.#panels.set(told.name, this.#make(told.name));
      const panel = this.#panels.get(told.name);
      panel.limit = told.memory_limit_bytes;
      panel.stateText.textContent = told.state ?? "";
    }
  }

  #make(name) {
    const plot = element("div", {
      class: "plot",
      tabindex: "0",
      role: "application",
      "aria-roledescription": "chart",
      "data-container": name,
      "aria-label": `CPU and memory of ${name} over time. Arrow keys read values, plus and minus zoom, Escape returns to live.`,
    });
    const panel = {
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
    const hover = (chart, time, left) => this.#hover(name, panel, chart, time, left);
    panel.chart = new Chart(plot, name, this.catalogue, { ...this.on, hover });
    return panel;
  }

  #hover(name, panel, chart, time, left) {
    if (time === null) return this.tip.hide();
    const box = chart.plot.over.getBoundingClientRect();
    const span = chart.view.to - chart.view.from;
    const text = chartTip({
      name,
      time,
      span,
      row: panel.series?.at(time) ?? null,
      actions: chart.actions,
      gaps: chart.gaps,
      slack: span / box.width,
      catalogue: this.catalogue,
    });
    this.tip.show(text, box.left + left, box.top + 12, chart.keyed);
  }
}
