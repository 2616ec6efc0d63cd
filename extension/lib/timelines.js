// Every page and the background count time from a start of their own; what lies between two such timelines is told by Date.now(),
// which all of them can read, and is kept from being wrong when the machine interrupts a reading, or somebody sets the clock. Pure.

import { lead } from "./clock.js";
import { pageLead } from "./wire_items.js";

/** Readings with more in between were interrupted. */
const TOGETHER_MS = 0.5;
const TRIES = 5;
/** So many readings of a page are compared. */
const KEPT = 5;

/** How far Date.now() leads our own timeline now: the reading that was interrupted least. */
export function ownLead(wall_ms, now_ms) {
  let best = null;
  for (let tries = 0; tries < TRIES && !(best?.between_ms < TOGETHER_MS); tries += 1) {
    const before_ms = now_ms();
    const clock_ms = wall_ms();
    const between_ms = now_ms() - before_ms;
    if (best === null || between_ms < best.between_ms) best = { between_ms, lead_ms: lead(clock_ms, before_ms + between_ms / 2) };
  }
  return best.lead_ms;
}

/**
 * What lies between a page's timeline and ours; it does not change while both live, whatever becomes of the clock. A page reads the
 * clock first and its timeline then: an interruption makes the difference look smaller, so that the largest of the last few counts.
 */
export class Skew {
  #seen = [];

  /** A page's message brought this pair, and Date.now() leads our own timeline so far at the same time. */
  add(clock, own_lead_ms) {
    const page_lead_ms = pageLead(clock);
    if (page_lead_ms !== undefined) this.#seen = [...this.#seen.slice(1 - KEPT), page_lead_ms - own_lead_ms];
  }

  /** Milliseconds to add to our lead to get the page's; 0 while it has said nothing. */
  get ms() {
    return this.#seen.length === 0 ? 0 : Math.max(...this.#seen);
  }
}
