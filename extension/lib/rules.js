// Applies the rules that lib/page_rules.js has compiled: which actions an input begins, which paths fit. Pure.
(() => {
  const own = (globalThis.tracemark ??= {});
  const TYPED = "input, textarea, select, [contenteditable]";

  const tests = new Map(); // made when first asked: most never are
  const test = (source, path) => {
    let made = tests.get(source);
    if (!made) tests.set(source, (made = new RegExp(source)));
    return made.test(path);
  };

  /** Whether this path, asked for in this format, is one of the entry's. */
  own.fits = ({ want, not, format }, path, asked) =>
    (!format || asked === undefined || asked === format) && (want === undefined || test(want, path)) && !(not !== undefined && test(not, path));

  /** Whether a whole address has a result that is awaited on the screen. */
  own.isShown = ({ shown }, address) => shown !== undefined && test(shown, address);

  /** Whether the entry's document comes after one like this: `null` asks for none of the site. */
  own.comesFrom = ({ from }, path) => from === undefined || (from === null ? !path : Boolean(path) && own.fits(from, path));

  /** The path below XNAT's context path: the configured one, else what stands before XNAT's own first segments. */
  own.below = (path, context) => {
    if (typeof context === "string" && (path === context || path.startsWith(`${context}/`))) return path.slice(context.length) || "/";
    const found = /\/(app|data|REST|xapi|VIEWER|viewer|login|scripts|style)(\/|$)/.exec(path);
    return found ? path.slice(found.index) : path;
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

  const touches = (entry, { key, button, detail, target }) => {
    const { keys, selector = entry.within } = entry;
    if (keys && (!keys.includes(key) || target.closest?.(TYPED))) return false;
    if ((entry.button ?? button) !== button || (entry.clicks ?? detail) !== detail) return false;
    return selector === undefined || Boolean(target.closest?.(selector));
  };

  const match = (rules, { entries, any }, event, root) => {
    const found = [];
    if (any && !event.target.closest?.(any)) return found;
    for (const entry of entries) {
      if (found.some((one) => one.entry.action === entry.action)) continue;
      if (!touches(entry, event) || (entry.present && !root.querySelector(entry.present))) continue;
      const ready = holds(entry, root);
      if (ready || entry.toggles) {
        found.push({ entry, action: rules.actions[entry.action], ready, bytes: entry.when?.files ? filesOf(root.querySelector(entry.when.selector)) : undefined });
      }
    }
    return found;
  };

  /**
   * The entries that this input fits, at most one of each action; `ready`: their state is there too. What a policy's rules have for
   * selectors and are none is taken out, and counted in `bad`.
   */
  own.matchInput = (rules, on, event, root) => {
    const kind = rules.inputs[on];
    if (!kind) return [];
    try {
      return match(rules, kind, event, root);
    } catch (error) {
      if (error?.name !== "SyntaxError") throw error;
      const entries = kind.entries.filter(({ selector, within, present, when }) => {
        try {
          return [selector, within, present, when?.selector].every((one) => one === undefined || root.querySelector(one) !== undefined);
        } catch {
          return false;
        }
      });
      rules.bad += kind.entries.length - entries.length;
      return match(rules, (rules.inputs[on] = { entries }), event, root);
    }
  };
})();
