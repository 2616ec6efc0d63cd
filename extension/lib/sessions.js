// One sitting of one person: an opaque id without any meaning, new after four hours or a browser start.

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

/** The session that is recorded now, kept where the recorder finds it. */
export class Sitting {
  #ports;
  #recorder;

  /** `ports`: browser, outbox, wall_ms(), randomBytes(n), named() (the session that the package names, or null). */
  constructor(ports, recorder) {
    this.#ports = ports;
    this.#recorder = recorder;
  }

  /** Begin a new session where the present one no longer holds; whether it took the place of another. */
  async renew() {
    const { browser, outbox, wall_ms, randomBytes, named } = this.#ports;
    const old = this.#recorder.session;
    if (stillValid(old, wall_ms()) && outbox.has(old.id)) return false;
    const fresh = newSession(wall_ms(), randomBytes);
    fresh.id = named() ?? fresh.id;
    await outbox.begin(fresh.id, wall_ms());
    this.#recorder.session = fresh;
    await browser.writeSession({ session: fresh });
    return old !== null;
  }

  /** The sidecar knows the session by another name than the one that we drew; whether it is the present one. */
  async rename(from, to) {
    if (this.#recorder.session?.id !== from) return false;
    this.#recorder.session = { ...this.#recorder.session, id: to };
    await this.#ports.browser.writeSession({ session: this.#recorder.session });
    return true;
  }
}
