// What the browser tells about requests: performance entries and navigations, reduced to a path without its query, times and numbers.
// Nothing else of an address leaves this file.
(() => {
  const own = (globalThis.tracemark ??= {});

  const FORMAT = /[?&]format=([^&#]*)/;

  /** A request as the tagger knows it; undefined when it goes to another site, or is none of the page's. Addresses come complete. */
  own.requestOf = (address, origin, context, found = { kind: "request" }) => {
    const begin = origin.length;
    if (address[begin] !== "/" || !address.startsWith(origin)) return undefined;
    const end = address.search(/[?#]/);
    const path = own.below(end < 0 ? address.slice(begin) : address.slice(begin, end), context);
    if (path.startsWith("/tracemark/") || path.endsWith("/favicon.ico")) return undefined; // our own, and the browser's
    found.path = path;
    found.format = (end >= 0 && FORMAT.exec(address)?.[1]) || "";
    return found;
  };

  own.requestOfEntry = ({ name, startTime: start, responseEnd: end, encodedBodySize: bytes, responseStatus, transferSize }, origin, context) => {
    const status = responseStatus || bytes || transferSize ? responseStatus : 599; // broken off
    return own.requestOf(name, origin, context, { kind: "request", path: "", format: "", start, end, bytes, status });
  };

  own.requestOfNavigation = ({ timeStamp: start, formData, destination }, origin, context) =>
    own.requestOf(destination.url, origin, context, { kind: "request", start, end: null, navigation: true, method: formData ? "POST" : "GET", same: destination.sameDocument });

  /** Watches finished requests, `buffered` also earlier ones. */
  own.watchRequests = (push, buffered) => {
    const observer = new PerformanceObserver(push);
    observer.observe({ type: "resource", buffered });
    return { take: () => observer.takeRecords(), stop: () => observer.disconnect() };
  };

  /** The time of the frame that shows what has been done; none while nobody sees the page. */
  own.afterFrame = (then) => {
    if (document.hidden) return;
    requestAnimationFrame(() => requestAnimationFrame(() => then(performance.now())));
  };

  own.navigationEntry = () => performance.getEntriesByType("navigation")[0];

  /** Whether this frame shows a page of its own: no frame around it that we may look into shows a page of the site. */
  own.isOwnPage = (isPage) => {
    try {
      for (let frame = window; frame !== frame.parent; ) {
        frame = frame.parent;
        if (isPage(frame.location.pathname)) return false;
      }
    } catch {
      // a frame of another site
    }
    return true;
  };
})();
