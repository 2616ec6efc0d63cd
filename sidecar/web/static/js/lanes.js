// A lane per session: each action as a bar with its mark, named on hover and with the arrow keys.

import { LEFT, RIGHT } from "./chart.js";
import { hatch, inkOn, token } from "./paint.js";
import { rows } from "./regions.js";

const ROW = 17;
const BAR = 14;
const MOST_ROWS = 4;
const MOST_LANES = 60;

/**
 * Sessions in the order of their first action; what has no session shares one lane per source. More sessions than MOST_LANES
 * share a lane per role.
 */
export function group(actions) {
  const sessions = new Set(actions.map((action) => action.session ?? action.source));
  const shared = sessions.size > MOST_LANES;
  const lanes = new Map();
  for (const action of actions) {
    const own = action.session ?? action.source;
    const key = shared ? (action.role ?? action.source) : own;
    if (!lanes.has(key)) lanes.set(key, { label: shared ? key : label(action), actions: [], sessions: new Set() });
    lanes.get(key).actions.push(action);
    lanes.get(key).sessions.add(own);
  }
  for (const lane of lanes.values()) if (shared) lane.label += ` × ${lane.sessions.size}`;
  return { lanes: [...lanes.values()], sessions: sessions.size, shared };
}

function label(action) {
  if (!action.session) return action.source === "access-log" ? "access log" : action.source;
  return `${action.role ?? action.source} ${action.session.slice(-4)}`;
}

export class Lanes {
  /** `on.hover(action | null, x, y)` with viewport coordinates; `on.speak(action)` for the keyboard. */
  constructor(host, catalogue, on) {
    this.host = host;
    this.catalogue = catalogue;
    this.on = on;
    this.bars = [];
    this.chosen = null;
    this.canvas = document.createElement("canvas");
    host.replaceChildren(this.canvas);
    this.canvas.addEventListener("mousemove", (event) => this.#move(event));
    this.canvas.addEventListener("mouseleave", () => on.hover(null));
    host.addEventListener("keydown", (event) => this.#key(event));
    host.addEventListener("blur", () => this.#choose(null));
  }

  /** Draw the actions of a range; returns how many sessions there are and whether they share lanes. */
  show(actions, view) {
    const { lanes, sessions, shared } = group(actions);
    const drawn = lanes.map((lane) => ({ ...lane, rows: rows(lane.actions, MOST_ROWS) }));
    const heights = drawn.map((lane) => (1 + Math.max(0, ...lane.rows.map((one) => one.row))) * ROW + 3);
    const width = this.host.clientWidth;
    const height = heights.reduce((sum, one) => sum + one, 0);
    const ratio = window.devicePixelRatio || 1;
    this.host.hidden = !drawn.length;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const ctx = this.canvas.getContext("2d");
    ctx.scale(ratio, ratio);
    const inner = width - LEFT - RIGHT;
    const x = (time) => LEFT + ((time - view.from) / (view.to - view.from)) * inner;
    this.bars = [];
    let top = 0;
    drawn.forEach((lane, index) => {
      if (index % 2 === 0) {
        ctx.fillStyle = token("--plot");
        ctx.fillRect(LEFT, top, inner, heights[index]);
      }
      ctx.fillStyle = token("--ink-2");
      ctx.font = "11px system-ui, sans-serif";
      ctx.textAlign = "right";
      ctx.textBaseline = "middle";
      ctx.fillText(lane.label, LEFT - 8, top + heights[index] / 2, LEFT - 12);
      ctx.save();
      ctx.beginPath();
      ctx.rect(LEFT, top, inner, heights[index]);
      ctx.clip();
      for (const { action, row } of lane.rows) this.#bar(ctx, action, x(action.start), x(action.end), top + 2 + row * ROW);
      ctx.restore();
      top += heights[index];
    });
    this.host.dataset.bars = String(this.bars.length);
    return { sessions, shared };
  }

  #bar(ctx, action, from, to, top) {
    const wide = Math.max(2, to - from);
    const look = this.catalogue.get(action.name);
    this.bars.push({ action, left: from, right: from + wide, top, bottom: top + BAR });
    ctx.globalAlpha = action.outcome === "completed" ? 1 : 0.45;
    ctx.fillStyle = look.colour;
    ctx.fillRect(from, top, wide, BAR);
    if (look.texture === "striped" && wide > 8) {
      ctx.fillStyle = hatch(ctx, "rgba(255,255,255,.28)", 6, 1.2);
      ctx.fillRect(from, top, wide, BAR);
    }
    if (action === this.chosen) {
      ctx.globalAlpha = 1;
      ctx.strokeStyle = token("--ink");
      ctx.lineWidth = 2;
      ctx.strokeRect(from + 1, top + 1, Math.max(2, wide - 2), BAR - 2);
    }
    ctx.font = "600 10px system-ui, sans-serif";
    ctx.textAlign = "left";
    const shown = Math.min(to, this.host.clientWidth - RIGHT) - Math.max(from, LEFT);
    const text = [look.label, look.mark].find((one) => ctx.measureText(one).width + 8 <= shown);
    if (text) {
      ctx.fillStyle = inkOn(look.colour);
      ctx.fillText(text, Math.max(from, LEFT) + 4, top + BAR / 2 + 0.5);
    }
    ctx.globalAlpha = 1;
  }

  #move(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    const y = event.clientY - box.top;
    const hit = this.bars.findLast((bar) => x >= bar.left - 2 && x <= bar.right + 2 && y >= bar.top - 1 && y <= bar.bottom + 1);
    this.on.hover(hit?.action ?? null, event.clientX, event.clientY);
  }

  #key(event) {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    if (event.key === "Escape") this.#choose(null);
    else if (event.key in steps && this.bars.length) {
      const at = this.bars.findIndex((bar) => bar.action.id === this.chosen?.id);
      const next = at < 0 ? 0 : Math.min(this.bars.length - 1, Math.max(0, at + steps[event.key]));
      this.#choose(this.bars[next]);
    } else return;
    event.preventDefault();
  }

  #choose(bar) {
    this.chosen = bar?.action ?? null;
    this.on.choose();
    if (!bar) return this.on.hover(null);
    const box = this.canvas.getBoundingClientRect();
    this.on.hover(bar.action, box.left + Math.max(bar.left, LEFT), box.top + bar.bottom, true);
  }
}
