// Which pages the content script goes into, and the permission that it needs. Pure.

/** The page side's files in the order of loading: classic scripts that share `globalThis.tracemark`. package.py reads this list. */
export const CONTENT_FILES = [
  "lib/browser.js",
  "lib/rules.js",
  "lib/evidence.js",
  "lib/viewer.js",
  "lib/endings.js",
  "lib/tagger.js",
  "lib/port.js",
  "content.js",
];

export const SCRIPT_ID = "tracemark";

// Firefox's match patterns have no port and mean any; so that both browsers do the same, ours have none either, and `siteOf` is exact.
const host = (origin) => {
  const url = new URL(origin);
  return `${url.protocol}//${url.hostname}`;
};

/** Host permissions for these sites: a permission has no path. */
export const originPatterns = (sites) => [...new Set(sites.map((site) => `${host(site)}/*`))];

/** Where the content script goes. */
export const matchPatterns = (sites, context_path) => [...new Set(sites.map((site) => `${host(site)}${context_path}/*`))];

/**
 * The registration for these sites. Frames without an address of their own (about:blank, srcdoc) belong to it too, but below a context
 * path: Chromium takes such frames of a whole host only.
 */
export function registration(sites, context_path, files) {
  return {
    id: SCRIPT_ID,
    matches: matchPatterns(sites, context_path),
    js: files,
    allFrames: true,
    matchOriginAsFallback: context_path === "",
    runAt: "document_start",
    persistAcrossSessions: true,
  };
}

/** Whether the browser already holds this registration. */
export function isRegistered(wanted, registered) {
  const held = registered.find((script) => script.id === wanted.id);
  const same = (a, b) => JSON.stringify([...a].sort()) === JSON.stringify([...b].sort());
  return held !== undefined && same(held.matches ?? [], wanted.matches) && JSON.stringify(held.js) === JSON.stringify(wanted.js);
}

/** The site that a port's other end is on, by its sender; undefined for any other page. */
export function siteOf(sender, sites) {
  for (const address of [sender?.origin, sender?.url, sender?.tab?.url]) {
    if (!address || address === "null" || !URL.canParse(address)) continue;
    const { origin } = new URL(address);
    if (origin === "null") continue;
    return sites.includes(origin) ? origin : undefined;
  }
  return undefined;
}
