// Runs in every document before the page's own scripts. It only listens: what was fetched, which images were painted.
// The replayer reads it to know when an action has ended; times are milliseconds since the epoch.
() => {
  const watched = { first_image_ms: null, images: 0, scans: {}, lost: {}, requests: [] };
  Object.defineProperty(window, Symbol.for("tracemark.replay"), { value: watched });
  const there = {}, missing = {};

  const note = (entry) => {
    const address = new URL(entry.name, location.href);
    if (address.origin !== location.origin) return;
    const path = address.pathname; // never the query: it can hold tokens
    const end_ms = performance.timeOrigin + entry.responseEnd;
    const status = entry.responseStatus; // 0: it broke off (say, the network changed)
    watched.requests.push({ path, status, end_ms });
    if (watched.requests.length > 200) watched.requests.shift();
    const scan = /\/scans\/([^/]+)\/.*\/files\/./.exec(path);
    if (!scan) return;
    const id = decodeURIComponent(scan[1]);
    there[id] ??= new Set();
    missing[id] ??= new Set();
    if (status === 0 || status >= 400) {
      if (!there[id].has(path)) missing[id].add(path);
    } else {
      there[id].add(path);
      missing[id].delete(path);
    }
    watched.scans[id] = there[id].size;
    watched.lost[id] = missing[id].size;
  };
  new PerformanceObserver((list) => list.getEntries().forEach(note)).observe({ type: "resource", buffered: true });

  const painted = (event) => event.target instanceof Element && event.target.closest(".viewport-element");
  document.addEventListener("cornerstoneimagerendered", (event) => {
    if (painted(event)) watched.first_image_ms ??= performance.timeOrigin + event.timeStamp;
  }, true);
  document.addEventListener("cornerstonenewimage", (event) => {
    if (painted(event)) watched.images += 1;
  }, true);
}
