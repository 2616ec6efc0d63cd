// What the browser tells about requests: performance entries and navigations, reduced to a path without its query, times and numbers.
// Nothing else of an address leaves this file.
(() => {
  const own = (globalThis.tracemark ??= {});

  const NOBODYS = /^\/tracemark\/|\/favicon\.ico$/; // our own question for a ticket, and the browser's for its icon

  const FORMAT = /[?&]format=([^&#]*)/;

  /** A request as the tagger knows it; undefined when it goes to another site, or is none of the page's. Addresses come complete. */
  own.requestOf = (address, origin, context, facts) => {
    if (!address.startsWith(`${origin}/`)) return undefined;
    const path = own.below(/^[^?#]*/.exec(address.slice(origin.length))[0], context);
    if (NOBODYS.test(path)) return undefined;
    return { kind: "request", path, format: FORMAT.exec(address)?.[1] ?? "", ...facts };
  };

  own.requestOfEntry = (entry, origin, context) =>
    own.requestOf(entry.name, origin, context, {
      start: entry.startTime,
      end: entry.responseEnd,
      bytes: entry.encodedBodySize,
      status: entry.responseStatus || entry.transferSize || entry.encodedBodySize ? entry.responseStatus : 599, // broken off
    });

  own.requestOfNavigation = (event, origin, context) =>
    own.requestOf(event.destination.url, origin, context, {
      start: event.timeStamp,
      end: null,
      navigation: true,
      method: event.formData ? "POST" : "GET",
      same: event.destination.sameDocument,
    });

  /** Watches finished requests, `buffered` also earlier ones. */
  own.watchRequests = (push, buffered) => {
    const observer = new PerformanceObserver((list) => push(list.getEntries()));
    observer.observe({ type: "resource", buffered });
    return {
      take: () => push(observer.takeRecords()),
      stop: () => observer.disconnect(),
    };
  };

  /** The time of the frame that shows what has been done by now; none while nobody sees the page. */
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
