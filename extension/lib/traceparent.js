// Requests know their session: with the organisation's consent the browser itself adds a W3C `traceparent` to the site's own requests,
// so that the proxy's log tells whose they were. No other header, no other host; without it everything else works the same.

/** "No action": the extension knows an action only after it has begun, so requests are labelled with their session alone. */
const NO_ACTION = "0000000000000001";
const SESSION = /^[0-9a-f]{32}$/;
const TYPES = [
  "main_frame",
  "sub_frame",
  "stylesheet",
  "script",
  "image",
  "font",
  "object",
  "xmlhttprequest",
  "ping",
  "csp_report",
  "media",
  "websocket",
  "other",
];

/**
 * The browser's rules for this session's label on these sites. `|` is the address's begin and `^` the end of a name, so that neither
 * another port nor a host with a longer name is meant. [] for a session whose name is no trace id.
 */
export function rulesFor(session, sites, context_path) {
  if (!SESSION.test(session ?? "")) return [];
  const labels = [{ header: "traceparent", operation: "set", value: `00-${session}-${NO_ACTION}-01` }];
  return sites
    .flatMap((site) => [site, site.replace(/^http/, "ws")])
    .map((site, index) => ({
      id: index + 1,
      priority: 1,
      condition: { urlFilter: `|${site}${context_path}^`, resourceTypes: TYPES },
      action: { type: "modifyHeaders", requestHeaders: labels },
    }));
}

/** Keeps the browser's rules as they should be now; they live as long as the browser, whatever becomes of the background. */
export class Labels {
  #browser;
  #held = null;

  constructor(browser) {
    this.#browser = browser;
  }

  /** `session`: whose label goes onto the sites' requests; null for none. */
  async follow(session, sites, context_path) {
    const rules = session === null ? [] : rulesFor(session, sites, context_path);
    const wanted = JSON.stringify(rules);
    if (wanted === this.#held) return;
    this.#held = wanted;
    await this.#browser.labelRequests(rules);
  }
}
