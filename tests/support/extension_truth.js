// Runs in the page before its own scripts and notes what really happens, for a test to compare with. It is no part of the extension.
(() => {
  if (window.truth || window !== top) return;
  const KEY = "truth";
  const rows = [];
  const wall = (t = performance.now()) => performance.timeOrigin + t;
  const note = (what, t, detail) => rows.push([what, wall(t), detail ?? null]);
  const earlier = () => {
    try {
      return JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    } catch {
      return [];
    }
  };
  window.truth = { all: () => [...earlier(), ...rows] };
  addEventListener("pagehide", (event) => {
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
  const { open } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (method, address, ...rest) {
    const { pathname } = new URL(address, location.href);
    if (/\/scans\//.test(pathname)) this.addEventListener("loadend", () => note("slice", undefined, pathname));
    else this.addEventListener("loadend", () => note("xhr", undefined, `${method} ${pathname}`));
    return open.call(this, method, address, ...rest);
  };
  const { fetch } = window;
  window.fetch = async (...values) => {
    const answer = await fetch(...values);
    note("fetch", undefined, new URL(answer.url).pathname);
    return answer;
  };
  // what is drawn: the listings' own state, seen in the next frame
  new MutationObserver((changes) => {
    for (const { target } of changes) {
      const { state } = target.dataset;
      if (state === "ready" || state === "done" || state === "error") requestAnimationFrame(() => note("drawn", undefined, `${target.className} ${target.id} ${state}`));
    }
  }).observe(document, { subtree: true, attributes: true, attributeFilter: ["data-state"] });
})();
