// How far the sidecar's clock is from ours: a minimum filter over ping exchanges. Pure; milliseconds, floats.
//
// "Ours" is one timeline: performance.timeOrigin + performance.now() of the background, which nobody sets while it lives. A page has
// a timeline of its own; `skew` is what lies between the two (both know Date.now()).

/** Exchanges older than this are forgotten. */
const WINDOW_MS = 600_000;
/** How much an exchange's error grows with its age: 100 microseconds a second, what a clock that nobody disciplines may drift. */
const DRIFT = 1e-4;
/** The fastest that a clock may honestly run away: what kernels allow NTP to slew, 500 microseconds a second. */
const MAX_SLEW = 500e-6;
const MAX_EXCHANGES = 512;
/** Date.now() counts whole milliseconds: by so much what lies between two timelines is uncertain, ... */
const SKEW_ERROR_MS = 1;
/** ... and less than this is taken for noise: it is not corrected, it only widens the bound. */
const SKEW_NOISE_MS = 2;
/** Of a clock that hides its resolution. */
const COARSE_MS = 100;

const roundTrip = (exchange) => exchange.received_ms - exchange.sent_ms - (exchange.t2_ms - exchange.t1_ms);
const offsetOf = (exchange) => (exchange.t1_ms - exchange.sent_ms + (exchange.t2_ms - exchange.received_ms)) / 2;

/** The steps in which this clock counts (browsers coarsen theirs on purpose), looked at for a few milliseconds at most. */
export function resolutionOf(now_ms) {
  const first = now_ms();
  for (let tries = 0; tries < 50_000; tries += 1) {
    const step_ms = now_ms() - first;
    if (step_ms > 0) return step_ms;
  }
  return COARSE_MS;
}

/** Keeps the exchanges of the last ten minutes; the one with the least error bound counts. */
export class OffsetEstimator {
  #exchanges = [];
  #resolution_ms;
  steps = 0;

  constructor(resolution_ms = 0) {
    this.#resolution_ms = resolution_ms;
  }

  /** Take `{sent_ms, received_ms, t1_ms, t2_ms}`; false when it is impossible (a clock was set meanwhile) and was left out. */
  add(exchange) {
    if (exchange.t2_ms < exchange.t1_ms || roundTrip(exchange) < -this.#resolution_ms) return false;
    let kept = this.#exchanges.filter((older) => exchange.received_ms - older.received_ms <= WINDOW_MS);
    if (kept.some((older) => this.#contradict(older, exchange))) {
      kept = []; // the sidecar's clock was set: what was measured before is about another clock
      this.steps += 1;
    }
    this.#exchanges = [...kept.slice(-MAX_EXCHANGES + 1), exchange];
    return true;
  }

  /** `{offset_ms, error_ms}` to add to our time to get the sidecar's, now; null before the first exchange. */
  at(now_ms) {
    let best = null;
    for (const exchange of this.#exchanges) {
      if (best === null || this.#error(exchange, now_ms) < this.#error(best, now_ms)) best = exchange;
    }
    return best && { offset_ms: offsetOf(best), error_ms: this.#error(best, now_ms) };
  }

  /** Half the time on the way, drift since, and the resolution of our clock, by which both of its stamps may be late. */
  #error(exchange, now_ms) {
    const age_ms = Math.max(0, now_ms - exchange.received_ms);
    return Math.max(0, roundTrip(exchange)) / 2 + DRIFT * age_ms + this.#resolution_ms;
  }

  #contradict(older, newer) {
    const slewed_ms = MAX_SLEW * (newer.received_ms - older.received_ms);
    const bound_ms = (roundTrip(older) + roundTrip(newer)) / 2 + slewed_ms + 2 * this.#resolution_ms;
    return Math.abs(offsetOf(newer) - offsetOf(older)) > bound_ms + 1e-3;
  }
}

/** How far Date.now() is ahead of a timeline, both read together. */
export const lead = (wall_ms, timeline_ms) => wall_ms - timeline_ms;

/** The offset for a time of a page whose timeline Date.now() leads by `page_lead_ms`, given our own offset and lead. */
export function forPage(offset, page_lead_ms, own_lead_ms) {
  const skew_ms = page_lead_ms - own_lead_ms;
  if (offset === null || skew_ms === 0) return offset;
  const error_ms = offset.error_ms + SKEW_ERROR_MS;
  if (Math.abs(skew_ms) < SKEW_NOISE_MS) return { offset_ms: offset.offset_ms, error_ms: error_ms + Math.abs(skew_ms) };
  return { offset_ms: offset.offset_ms + skew_ms, error_ms };
}
