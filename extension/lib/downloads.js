// Which of the browser's downloads, or of the site's answers that are files, is which action: pure. Of a download only its id, size,
// state, origin and end are looked at, of an answer its path, status and length; no name.

import { fitting } from "./page_rules.js";

const { below } = globalThis.tracemark;

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

  /** Whether anything watches for the end of this action. */
  watches(action_id) {
    return this.isFor(action_id) || this.#awaiting.some((one) => one.action_id === action_id);
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

/** How long ago a download was over, in milliseconds: the browser's word of it may come late. 0 when it does not say. */
export function downloadAge(item, wall_ms) {
  const age = wall_ms - Date.parse(item?.endTime ?? "");
  return age >= 0 && age < 60_000 ? age : 0;
}

/** The test of a request `{url, method}`: whether it asks for a file, by the catalogue's rules `{actions}` for downloads. */
export function fileTest({ actions }, sites, context_path) {
  const asked = actions
    .filter(({ dom }) => dom.end.some(({ by }) => by === "download"))
    .flatMap(({ dom }) => dom.begin.filter(({ on }) => on === "request"))
    .map(({ methods, ...entry }) => ({ methods, fits: fitting(entry) }));
  return ({ url, method }) => {
    const { origin, pathname, searchParams } = new URL(url);
    const path = below(pathname, context_path);
    const format = searchParams.get("format") ?? "";
    return sites.includes(origin) && asked.some(({ methods, fits }) => (methods ?? [method]).includes(method) && fits(path, format));
  };
}

/** What an answer that is over came to; `bytes` only where the server said how many there are. */
export function answerOutcome({ statusCode, responseHeaders }, failed) {
  if (failed || statusCode >= 400) return { state: "interrupted" };
  const length = responseHeaders?.find(({ name }) => name.toLowerCase() === "content-length")?.value;
  const bytes = length === undefined ? undefined : downloadBytes({ fileSize: Number(length) });
  return { state: "complete", evidence: "requests", bytes };
}
