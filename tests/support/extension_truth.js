// Runs in the page before its own scripts and notes what really happens, for a test to compare with. It is no part of the extension.
(() => {
  if (window.truth || window !== top) return;
  const KEY = "truth";
  const rows = [];
  const wall = (t = performance.now()) => performance.timeOrigin + t;
  const note = (what, t, detail, start) => rows.push([what, wall(t), detail ?? null, wall(start)]);
  const earlier = () => {
    try {
      return JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    } catch {
      return [];
    }
  };
  window.truth = { all: () => [...earlier(), ...rows] };
  addEventListener("pagehide", (event) => {
    answers(resources.takeRecords());
    note("pagehide", event.timeStamp);
    try {
      sessionStorage.setItem(KEY, JSON.stringify(window.truth.all().slice(-3000)));
      rows.length = 0;
    } catch {
      // a document without storage
    }
  });
  note("document", 0, location.pathname);
  for (const type of ["click", "submit", "mousedown", "mouseup", "keydown", "wheel", "input", "change", "drop"]) {
    addEventListener(type, (event) => {
      if (!event.isTrusted) return;
      const place = event.target instanceof Element ? event.target.closest("[id], [class], [data-cy]") : null;
      note(type, event.timeStamp, `${place?.id ?? ""} ${place?.getAttribute("class") ?? ""} ${event.key ?? ""}`);
    }, { capture: true, passive: true });
  }
  addEventListener("load", () => setTimeout(() => note("load", performance.getEntriesByType("navigation")[0].loadEventEnd, location.pathname)));
  addEventListener("pageshow", (event) => event.persisted && note("restored", event.timeStamp, location.pathname));
  for (const type of ["cornerstonenewimage", "cornerstoneimagerendered", "cornerstonetoolsmeasurementcompleted"]) {
    document.addEventListener(type, (event) => event.target.closest?.(".viewport-element") && note(type, event.timeStamp), true);
  }
  // when answers were complete, by the browser's own clock of requests: a busy page hears of them much later
  const resources = new PerformanceObserver((list) => answers(list.getEntries()));
  const answers = (entries) => {
    for (const { name, startTime, responseEnd } of entries) {
      const { pathname } = new URL(name);
      if (/\/tracemark\/|favicon/.test(pathname)) continue; // the extension's own, and the browser's
      note(/\/scans\//.test(pathname) ? "slice" : "answer", responseEnd, pathname, startTime);
    }
  };
  resources.observe({ type: "resource", buffered: true });
  // what is drawn: the listings' own state, seen in the next frame
  new MutationObserver((changes) => {
    for (const { target } of changes) {
      const { state } = target.dataset;
      if (state === "ready" || state === "done" || state === "error") requestAnimationFrame(() => note("drawn", undefined, `${target.className} ${target.id} ${state}`));
    }
  }).observe(document, { subtree: true, attributes: true, attributeFilter: ["data-state"] });
})();
