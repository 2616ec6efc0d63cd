// Several ways to find an element again, best first, in the words of the replayer's scenarios. Only of what developers wrote: ids,
// names, classes, links' paths and places; no text that a person reads or types.
(() => {
  const own = (globalThis.tracemark ??= {});
  const MOST = 5;
  const MARKS = ["data-cy", "data-testid", "data-action"];
  const PLAIN = /^[\w .:/-]{1,60}$/;
  /** What a developer writes on a tool; a label of a subject or a session has digits, or signs like these: _ ^ */
  const TOOL = /^[A-Za-z][A-Za-z /-]{1,40}$/;
  /** Ids that are drawn anew for each page, and classes that tell a state. */
  const DRAWN = /\d{4,}|(?=[a-f]*\d)[0-9a-f]{8,}|^(yui|ext|ui-id|radix|react|mui|:r)/i;
  const STATE = /\d|^(active|open|hidden|disabled|selected|focus|hover|checked|loading|ready|on|off|current)$|--/i;
  const CLICKABLE = "a, button, input, select, textarea, label, summary, [role=button], [role=tab], [role=menuitem], [role=option], [role=slider]";
  const VIEWPORT = ".viewport-element, [data-cy=viewport-pane]";

  const quoted = (text) => `"${text.replace(/["\\]/g, "\\$&")}"`;
  const isShown = (element) => element.getClientRects().length > 0;
  const tag = (element) => element.localName;

  /** What a click or a wheel was meant for. */
  own.meantBy = (target, what) => {
    const element = target instanceof SVGElement ? (target.closest("svg").parentElement ?? target) : target;
    return element.closest(what === "wheel" ? VIEWPORT : CLICKABLE) ?? element;
  };
  own.isViewport = (element) => element.matches(VIEWPORT);

  function* marks(element) {
    const { id, classList } = element;
    if (id && !DRAWN.test(id) && PLAIN.test(id)) yield ["id", id, `#${CSS.escape(id)}`];
    const name = element.getAttribute("name");
    if (name && PLAIN.test(name) && element.matches("input, select, textarea, button, form")) yield ["name", name, `[name=${quoted(name)}]`];
    for (const mark of MARKS) {
      const value = element.getAttribute(mark);
      if (value && PLAIN.test(value)) yield css(`[${mark}=${quoted(value)}]`);
    }
    if (element.matches("button[title]") && TOOL.test(element.title)) yield css(`button[title=${quoted(element.title)}]`);
    if (element.matches("a[href]") && /^https?:$/.test(element.protocol)) yield css(`a[href*=${quoted(own.scenarioPath(element.pathname))}]`);
    for (const one of classList) if (!STATE.test(one) && PLAIN.test(one)) yield css(`${tag(element)}.${CSS.escape(one)}`);
  }
  const css = (selector) => ["css", selector, selector];

  /** From the nearest ancestor with a mark of its own, or the root, down by places. */
  function path(element, root) {
    const down = [];
    const steps = [];
    let at = element;
    for (; at !== root.documentElement && at.parentElement; at = at.parentElement) {
      const mine = at === element ? undefined : anchor(at, root);
      if (mine) return { selector: [mine[0], ...down].join(" > "), xpath: [mine[1], ...steps].join("/") };
      const name = tag(at);
      const place = [...at.parentElement.children].filter((one) => one.localName === name).indexOf(at) + 1;
      down.unshift(`${CSS.escape(name)}:nth-of-type(${place})`);
      steps.unshift(at instanceof HTMLElement ? `${name}[${place}]` : `*[local-name()="${name}"][${place}]`);
    }
    return { selector: ["html", ...down].join(" > "), xpath: ["/html", ...steps].join("/") };
  }

  function anchor(element, root) {
    const { id } = element;
    if (id && !DRAWN.test(id) && PLAIN.test(id)) return [`#${CSS.escape(id)}`, `//*[@id=${quoted(id)}]`];
    const mark = MARKS.find((one) => PLAIN.test(element.getAttribute(one) ?? ""));
    const found = mark && `[${mark}=${quoted(element.getAttribute(mark))}]`;
    return found && root.querySelectorAll(found).length === 1 ? [found, `//*[@${mark}=${quoted(element.getAttribute(mark))}]`] : undefined;
  }

  /** At least two locators of this element; each finds it first among what is shown. */
  own.locatorsOf = (element, root) => {
    const finds = (selector) => [...root.querySelectorAll(selector)].find(isShown) === element;
    const found = element.matches(".viewport-container.active .viewport-element") ? ["css=.viewport-container.active .viewport-element"] : [];
    for (const [strategy, value, selector] of marks(element)) if (finds(selector)) found.push(`${strategy}=${value}`);
    const { selector, xpath } = path(element, root);
    return [...found.slice(0, MOST - 2), `css=${selector}`, `xpath=${xpath}`];
  };
})();
