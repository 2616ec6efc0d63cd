// What is asked of the image viewers: OHIF v2, XNAT's fork of it, OHIF v3. States and numbers of named elements; no text, no layout.
(() => {
  const own = (globalThis.tracemark ??= {});

  /** The viewers' own events. */
  own.IMAGE_EVENTS = {
    cornerstonenewimage: "new",
    CORNERSTONE_STACK_NEW_IMAGE: "new",
    cornerstoneimagerendered: "rendered",
    CORNERSTONE_IMAGE_RENDERED: "rendered",
    CORNERSTONE_VIEWPORT_NEW_IMAGE_SET: "set",
    cornerstonetoolsmeasurementadded: "drawing",
    cornerstonetoolsmeasurementmodified: "drawing",
    cornerstonetoolsmeasurementcompleted: "drawn",
  };
  // thumbnails are painted by the same library: only what happens in a pane counts
  own.PANE = ".viewport-element, [data-viewport-uid], [data-cy=viewport-pane]";

  /** The scan (or series) whose slice this path is, as a key that never leaves the page. */
  own.scanOf = (path) => /^.*?\/(?:scans|series)\/[^/]+(?=\/)/.exec(path)?.[0];

  own.makeLook = (root) => ({
    /** How many slices the shown scan has, by its slider; undefined when that is not known. */
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
