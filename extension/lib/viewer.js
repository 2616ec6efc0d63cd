// What is asked of the viewers (OHIF v2, XNAT's fork of it, OHIF v3): states and numbers of named elements; no text, no layout.
(() => {
  const own = (globalThis.tracemark ??= {});

  /** The scan (or series) whose slice this path is, as a key that never leaves the page. */
  own.scanOf = (path) => /^.*?\/(?:scans|series)\/[^/]+(?=\/)/.exec(path)?.[0];

  own.makeLook = (root) => ({
    /** How many slices the shown scan has, by its slider, if that is known. */
    slices: (selector) => {
      const slider = root.querySelector(".viewport-container.active")?.querySelector(selector) ?? root.querySelector(selector);
      const last = Number(slider?.getAttribute("max") ?? slider?.getAttribute("aria-valuemax") ?? NaN);
      return last > 0 ? last + 1 : undefined;
    },
    there: (selector) => root.querySelector(selector) !== null,
    /** The state that an attribute tells; null when the element is not there. */
    state: (selector, attribute) => root.querySelector(selector)?.getAttribute(attribute) ?? null,
    /** The place of the scan that is marked so among all, -1 for none. */
    place: (selector) => {
      const marked = root.querySelector(selector);
      return marked ? [...root.querySelectorAll("[data-cy=thumbnail-list], [data-cy=study-browser-thumbnail]")].findIndex((one) => one.contains(marked)) : -1;
    },
  });
})();
