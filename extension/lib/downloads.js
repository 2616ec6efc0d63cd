// Which of the browser's downloads is which action: pure. Of a download only its id, size, state and origin are looked at, no name.

/** A download may be told by the browser a little before the page's message about the click arrives. */
const EARLY_MS = 5000;
/** An archive is packed while the person waits; past this nobody does. */
const PATIENCE_MS = 3600_000;

export class AwaitedDownloads {
  #awaiting;
  #begun;

  constructor(saved) {
    this.#awaiting = saved?.awaiting ?? [];
    this.#begun = saved?.begun ?? [];
  }

  toJSON() {
    return { awaiting: this.#awaiting, begun: this.#begun };
  }

  /** The page waits for the download of this action; returns the download's outcome when it is over already. */
  awaitFor(action_id, now_ms) {
    const early = this.#begun.find((one) => !one.action_id && now_ms - one.at_ms < EARLY_MS);
    if (early?.outcome) {
      this.#begun = this.#begun.filter((one) => one !== early);
      return early.outcome;
    }
    if (early) early.action_id = action_id;
    else this.#awaiting = [...this.#awaiting, { action_id, since_ms: now_ms }].slice(-20);
    return undefined;
  }

  /** The browser begins a download from this site. */
  begins(id, now_ms) {
    this.#begun = this.#begun.filter((one) => one.action_id || now_ms - one.at_ms < EARLY_MS).slice(-50);
    this.#begun.push({ id, at_ms: now_ms, action_id: this.#awaiting.shift()?.action_id ?? null });
  }

  /** A download is over, with this outcome: the action that it ends, if any waits for it yet. */
  ends(id, outcome) {
    const found = this.#begun.find((one) => one.id === id);
    if (found && !found.action_id) {
      found.outcome = outcome;
      return undefined;
    }
    this.#begun = this.#begun.filter((one) => one !== found);
    return found?.action_id;
  }

  knows(id) {
    return this.#begun.some((one) => one.id === id);
  }

  /** Whether a download will end this action. */
  isFor(action_id) {
    return this.#begun.some((one) => one.action_id === action_id);
  }

  /** The action is over without us. */
  forget(action_id) {
    this.#awaiting = this.#awaiting.filter((one) => one.action_id !== action_id);
    this.#begun = this.#begun.filter((one) => one.action_id !== action_id);
  }

  /** Actions whose download never came. */
  overdue(now_ms) {
    const late = this.#awaiting.filter((one) => now_ms - one.since_ms > PATIENCE_MS);
    this.#awaiting = this.#awaiting.filter((one) => now_ms - one.since_ms <= PATIENCE_MS);
    return late.map((one) => one.action_id);
  }
}

/** The origin that a download comes from; of blob: addresses the page's. */
export function downloadOrigin(item) {
  const address = item.finalUrl || item.url || "";
  return URL.canParse(address) ? new URL(address).origin : "";
}

/** Bytes of a download that is over; undefined when the browser does not know. */
export function downloadBytes(item) {
  const sizes = [item?.fileSize, item?.bytesReceived, item?.totalBytes];
  return sizes.find((size) => Number.isFinite(size) && size >= 0);
}
