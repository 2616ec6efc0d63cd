// One sitting of one person: an opaque id without any meaning, new after four hours or a browser start. Pure.

const LONGEST_MS = 4 * 3600_000;

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A new session; sampling is drawn once, for all of it. `random(n)` gives n random bytes. */
export function newSession(now_ms, random) {
  const [high, low] = random(2);
  return {
    id: hex(random(16)),
    started_ms: now_ms,
    draw: (high * 256 + low) / 65536,
  };
}

/** Whether this session is one of the share that is recorded. */
export const isSampled = (session, share) => session.draw < share;

/** The stored session if it still holds. */
export function stillValid(session, now_ms) {
  return Boolean(session) && Math.abs(now_ms - session.started_ms) < LONGEST_MS;
}
