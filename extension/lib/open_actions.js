// Actions that have begun and not ended, per tab: they may end in another document than they began in. Pure.

/** More at once are no actions of a person. */
const MOST_IN_TAB = 20;
const LONGEST_MS = 3600_000;
/** A viewer or a download may begin in one tab and go on in a window that does not say who opened it. */
const ACROSS_TABS = new Set(["open_viewer", "download"]);
const ACROSS_TABS_MS = 60_000;
const REMEMBERED_ENDS = 200;

export class OpenActions {
  #tabs;
  #ended;

  /** `saved`: what `toJSON` gave to an earlier background. */
  constructor(saved) {
    this.#tabs = new Map(saved?.tabs ?? []);
    this.#ended = saved?.ended ?? [];
  }

  toJSON() {
    return { tabs: [...this.#tabs], ended: this.#ended };
  }

  get size() {
    let size = 0;
    for (const open of this.#tabs.values()) size += open.length;
    return size;
  }

  /** Take note of a marker; false when it must not be told: its action has begun or ended already. */
  note(tab, { action_id, action, phase, wall_ms }) {
    if (this.#ended.includes(action_id)) return false;
    if (phase === "begin") {
      if (this.find(action_id)) return false;
      const open = [...(this.#tabs.get(tab) ?? []), { action_id, action, begun_wall_ms: wall_ms }];
      this.#tabs.set(tab, open.slice(-MOST_IN_TAB));
    } else {
      this.#forget(action_id);
      this.#ended = [...this.#ended, action_id].slice(-REMEMBERED_ENDS);
    }
    return true;
  }

  find(action_id) {
    for (const [tab, open] of this.#tabs) {
      const found = open.find((one) => one.action_id === action_id);
      if (found) return { ...found, tab };
    }
    return undefined;
  }

  /** What a document in this tab may end: the tab's own (`own` true), its opener's, and what may cross tabs. */
  of(tab, opener, now_ms) {
    const mine = [];
    for (const [where, open] of this.#tabs) {
      for (const one of open) {
        if (now_ms - one.begun_wall_ms > LONGEST_MS) continue;
        const crosses = ACROSS_TABS.has(one.action) && now_ms - one.begun_wall_ms < ACROSS_TABS_MS;
        if (where === tab || where === opener || crosses) mine.push({ ...one, own: where === tab });
      }
    }
    return mine;
  }

  /** All that are open: `[{action_id, action, begun_wall_ms, tab}]`. */
  all() {
    return [...this.#tabs].flatMap(([tab, open]) => open.map((one) => ({ ...one, tab })));
  }

  /** Those that end with their tab. */
  boundTo(tab) {
    return this.all().filter((one) => one.tab === tab && !ACROSS_TABS.has(one.action));
  }

  /** Those that nothing will end any more. */
  stale(now_ms) {
    return this.all().filter((one) => now_ms - one.begun_wall_ms > LONGEST_MS);
  }

  /** Nobody will know its end, and none is made up: for the sidecar it stays unfinished. */
  leave(action_id) {
    this.#forget(action_id);
  }

  #forget(action_id) {
    for (const [tab, open] of this.#tabs) {
      const left = open.filter((one) => one.action_id !== action_id);
      if (left.length > 0) this.#tabs.set(tab, left);
      else this.#tabs.delete(tab);
    }
  }
}
