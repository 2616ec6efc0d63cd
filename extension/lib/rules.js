// The catalogue's rules for pages, compiled: which actions an input, a request or a document begins. Pure: of an event and a document
// it needs no more than `closest`, `querySelector` and a few plain fields.
(() => {
  const own = (globalThis.tracemark ??= {});
  const SPECIAL = /[.+?^${}()|[\]\\]/g;
  const CAUSE_MS = 2000;

  const tidy = (path) => path.replace(/\/+$/, "");
  const segment = (text) =>
    text === "**" ? "(?:/[^/]+)*" : text === "*" ? "/[^/]+" : `/${text.replace(SPECIAL, "\\$&").replaceAll("*", "[^/]*")}`;

  const tests = new Map(); // the same list stands in several rules

  /** Path patterns as one test: `*` is one segment, `**` any number, also none. */
  const patterns = (list) => {
    const key = list.join(" ");
    if (!tests.has(key)) tests.set(key, key === "/**" ? () => true : compiled(list));
    return tests.get(key);
  };

  const compiled = (list) => {
    let whole; // made when it is first asked: most never are
    return (path) => (whole ??= new RegExp(`^(?:${list.map((one) => tidy(one).split("/").slice(1).map(segment).join("")).join("|")})/*$`)).test(path);
  };

  /** The first segment, by which most requests of a page are none of ours. */
  own.rootOf = (path) => path.slice(1, (path.indexOf("/", 1) + 1 || path.length + 1) - 1);

  /** The test of an entry with `paths`, `not_paths` and `format`. */
  const fitting = ({ paths, not_paths: refused, format }) => {
    const wanted = paths ? patterns(paths) : () => true;
    const unwanted = refused ? patterns(refused) : () => false;
    return (path, asked) => wanted(path) && !unwanted(path) && (!format || asked === undefined || asked === format);
  };

  /** The path below XNAT's context path: the configured one, else what stands before XNAT's own first segments. */
  const below = (path, context) => {
    if (typeof context === "string" && (path === context || path.startsWith(`${context}/`))) return path.slice(context.length) || "/";
    const found = /\/(app|data|REST|xapi|VIEWER|viewer|login|scripts|style)(\/|$)/.exec(path);
    return found ? path.slice(found.index) : path;
  };

  /** The test of the document before: `null` asks for none of the site. */
  const comingFrom = (from) => {
    if (!from) return from === null ? (path) => !path : undefined;
    const fits = fitting(from);
    return (path) => Boolean(path) && fits(path);
  };

  const entryOf = (action, raw) => ({
    ...raw,
    action,
    fits: fitting(raw),
    comesFrom: comingFrom(raw.from),
    cause_ms: raw.cause_ms ?? CAUSE_MS,
    caused: raw.cause_ms !== undefined,
    then: raw.then && entryOf(action, raw.then),
  });

  /**
   * Compiles `[{name, dom}]`. What cannot be used (a selector that is none, an action without an end) is left out and counted in
   * `bad`: rules may come from a policy and must never break a page. `valid(selector)` asks the browser.
   */
  own.compileRules = (actions, valid = () => true) => {
    const rules = { actions: new Map(), inputs: new Map(), requests: [], documents: [], roots: new Set(), shown: [], keys: new Set(["Enter"]), bad: 0 };
    const usable = (entry) => [entry.selector, entry.within, entry.present, entry.when?.selector].every((one) => one === undefined || valid(one));
    for (const action of Array.isArray(actions) ? actions : []) {
      const name = action?.name;
      try {
        const { dom } = action;
        if (dom.begin.length === 0) continue; // switched off by the site
        const ends = dom.end.map((raw) => entryOf(name, raw));
        const by = Object.fromEntries(ends.filter((one) => !one.slices).map((one) => [one.by, one]));
        const found = { name, by, at_most_ms: dom.at_most_ms, confirm: dom.confirm, arrival: by.navigation, slices: ends.find((one) => one.slices) };
        for (const { expects, then } of ends) for (const one of [expects, then?.expects]) if (one?.shows) rules.shown.push(fitting(one));
        rules.actions.set(name, found);
        for (const raw of dom.begin) {
          if (!usable(raw)) {
            rules.bad += 1;
            continue;
          }
          const entry = entryOf(name, raw);
          for (const key of raw.keys ?? []) rules.keys.add(key);
          if (entry.on === "request") {
            rules.requests.push(entry);
            for (const root of (entry.paths ?? ["/**"]).map(own.rootOf)) rules.roots.add(root.includes("*") ? "*" : root);
          }
          if (entry.on === "navigation") rules.documents.push(entry);
          else if (entry.on !== "request") rules.inputs.set(entry.on, [...(rules.inputs.get(entry.on) ?? []), entry]);
        }
      } catch {
        rules.actions.delete(name);
        rules.bad += 1;
      }
    }
    return rules;
  };

  const filesOf = (element) => [...(element?.files ?? [])].reduce((sum, file) => sum + file.size, 0);

  /** Whether the state that the entry asks for is there. */
  const holds = ({ when }, root) => {
    if (!when) return true;
    const element = root.querySelector(when.selector);
    if (!element) return false;
    if (when.files) return filesOf(element) > 0;
    return when.attribute === undefined || element.getAttribute(when.attribute) === when.value;
  };

  const touches = (entry, event) => {
    if (entry.keys && !entry.keys.includes(event.key)) return false;
    if (entry.button !== undefined && entry.button !== event.button) return false;
    if (entry.clicks !== undefined && entry.clicks !== event.detail) return false;
    const target = event.target;
    if (entry.keys && target.closest?.("input, textarea, select, [contenteditable]")) return false; // typing
    const selector = entry.selector ?? entry.within;
    return selector === undefined || Boolean(target.closest?.(selector));
  };

  /** The entries that this input fits, at most one of each action; `ready`: their state is there too. */
  own.matchInput = (rules, on, event, root) => {
    const found = [];
    for (const entry of rules.inputs.get(on) ?? []) {
      if (found.some((one) => one.entry.action === entry.action)) continue;
      if (!touches(entry, event) || (entry.present && !root.querySelector(entry.present))) continue;
      const ready = holds(entry, root);
      if (ready || entry.toggles) {
        found.push({ entry, action: rules.actions.get(entry.action), ready, bytes: entry.when?.files ? filesOf(root.querySelector(entry.when.selector)) : undefined });
      }
    }
    return found;
  };

  Object.assign(own, { patterns, fitting, below });
})();
