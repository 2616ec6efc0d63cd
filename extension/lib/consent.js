// Whether the person (or the organisation for them) agreed, and pauses. Pure.

/** `given`, `refused` or `undecided`, and who decided. */
export function consentOf(config, stored) {
  if (config.consent !== "ask") return { decision: config.consent, by: "policy" };
  return ["given", "refused"].includes(stored?.decision) ? { decision: stored.decision, by: "person" } : { decision: "undecided", by: null };
}

const MINUTE_MS = 60_000;

/** A pause as it is stored: `{until_ms}`, null for until the person resumes. */
export function pauseFor(how, now) {
  switch (how) {
    case "minutes":
      return { until_ms: now.getTime() + 15 * MINUTE_MS };
    case "today":
      return { until_ms: new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1).getTime() };
    case "resume":
      return { until_ms: null };
    default:
      throw new TypeError(`a pause for ${how}?`);
  }
}

export const isPaused = (pause, now_ms) => Boolean(pause) && (pause.until_ms === null || now_ms < pause.until_ms);
