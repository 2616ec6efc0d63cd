// Numbers, times and units as people read them. Pure.

const pad = (number, width = 2) => String(number).padStart(width, "0");

/** Three significant digits without an exponent. */
export function digits(value, significant = 3) {
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  const decimals = Math.min(6, Math.max(0, significant - 1 - size));
  return value.toFixed(decimals);
}

export function percent(value) {
  if (value === null || value === undefined) return "–";
  return `${Math.abs(value) >= 10 ? Math.round(value) : value.toFixed(1)} %`;
}

export function seconds(value) {
  return value === null || value === undefined ? "–" : `${digits(value)} s`;
}

/** Bytes in binary units, as `docker stats` shows them. */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = Math.abs(value);
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  const text = unit === 0 ? String(Math.round(size)) : digits(size);
  return `${value < 0 ? "−" : ""}${text} ${units[unit]}`;
}

/** Time of day, local; `span` in milliseconds decides how fine. */
export function clock(ms, span = 0) {
  const at = new Date(ms);
  const base = `${pad(at.getHours())}:${pad(at.getMinutes())}`;
  if (span > 2 * 3600e3) return base;
  const fine = `${base}:${pad(at.getSeconds())}`;
  return span && span < 5000 ? `${fine}.${pad(Math.floor((ms % 1000) / 100), 1)}` : fine;
}

export function day(ms) {
  const at = new Date(ms);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
}

/** A stretch of time; the day is named where it is not today's. */
export function stretch(from, to, now = Date.now()) {
  const named = (ms) => (day(ms) === day(now) ? "" : `${day(ms)} `) + clock(ms);
  return `${named(from)} – ${day(from) === day(to) ? clock(to) : named(to)}`;
}

export function length(ms) {
  const short = (value) => String(Number(digits(value)));
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120e3) return `${short(ms / 1000)} s`;
  if (ms < 7200e3) return `${short(ms / 60e3)} min`;
  return `${short(ms / 3600e3)} h`;
}

/** The value of an <input type=datetime-local>. */
export function local(ms) {
  return `${day(ms)}T${clock(ms)}`;
}

/** Milliseconds to the API's nanoseconds: text, because they do not fit into a number. */
export function ns(ms) {
  return `${Math.max(0, Math.round(ms))}000000`;
}
