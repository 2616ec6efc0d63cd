// What a page tells, as fields of the wire: a closed list; whatever else a page says ends here. Pure.

import { forPage, lead } from "./clock.js";

const NS = 1e6;
const PHASES = new Set(["begin", "end", "cancel"]);
const ACTION_ID = /^[0-9a-f]{16}$/;
const COUNTS = ["bytes", "images", "ticks", "first_image_ns"];
const EVIDENCE = new Set(["rendered", "requests", "download", "navigation", "timer", "state"]);
/** A time this far from now is not a time of this session. */
const FAR_MS = 12 * 3600_000;

/** The attributes that may leave the browser, and how many others there were. */
export function attributes(attrs) {
  const kept = {};
  let dropped = 0;
  for (const [name, value] of Object.entries(attrs ?? {})) {
    if (COUNTS.includes(name) && Number.isFinite(value) && value >= 0) kept[name] = Math.round(value);
    else if (name === "evidence" && EVIDENCE.has(value)) kept[name] = value;
    else if (value !== null && value !== undefined) dropped += 1;
  }
  return { kept, dropped };
}

/** Offset fields of a time of a page (or of the background itself, with its own lead). */
export function offsetFields(offset, page_lead_ms, own_lead_ms) {
  const fitted = forPage(offset, page_lead_ms, own_lead_ms);
  return {
    offset_ns: fitted ? Math.round(fitted.offset_ms * NS) : null,
    offset_error_ns: fitted ? Math.round(fitted.error_ms * NS) : null,
  };
}

/**
 * A page's item as fields of a marker; null when it is none. `names`: the catalogue's actions. A page makes `wall_ms` of its
 * timeOrigin and the event's own stamp, so within one document it is monotonic: `mono_ns` is the same number, with base 0.
 */
export function markerFields(item, { names, now_ms }) {
  const fits =
    typeof item?.action_id === "string" &&
    ACTION_ID.test(item.action_id) &&
    names.has(item.action) &&
    PHASES.has(item.phase) &&
    Number.isFinite(item.wall_ms) &&
    Math.abs(item.wall_ms - now_ms) < FAR_MS;
  if (!fits) return null;
  return {
    action_id: item.action_id,
    action: item.action,
    phase: item.phase,
    wall_ns: Math.round(item.wall_ms * NS),
    mono_ns: Math.round(item.wall_ms * NS),
    offset_ns: null,
    offset_error_ns: null,
    attrs: attributes(item.attrs).kept,
  };
}

/** How far Date.now() led the page's timeline when it sent this batch; undefined when it did not say. */
export function pageLead(clock) {
  if (!Number.isFinite(clock?.wall_ms) || !Number.isFinite(clock?.mono_ms)) return undefined;
  const timeline_ms = clock.mono_ms < 1e11 ? clock.mono_ms + clock.origin_ms : clock.mono_ms;
  return Number.isFinite(timeline_ms) ? lead(clock.wall_ms, timeline_ms) : undefined;
}

/** An entry as it is sent: times that had no offset when they were recorded get today's. */
export function completed(entry, offset, own_lead_ms) {
  if (offset === null) return entry.kind === "rating" ? { ...entry, fields: { ...entry.fields } } : entry;
  const page_lead_ms = entry.lead_ms ?? own_lead_ms;
  if (entry.kind === "marker" && entry.fields.offset_ns === null) {
    return { ...entry, fields: { ...entry.fields, ...offsetFields(offset, page_lead_ms, own_lead_ms) } };
  }
  if (entry.kind === "rating" && entry.lead_ms !== undefined) {
    const { offset_ns } = offsetFields(offset, page_lead_ms, own_lead_ms);
    return { ...entry, fields: { ...entry.fields, time_ns: entry.fields.time_ns + offset_ns } };
  }
  return entry;
}
