// The catalogue's rules as pages use them, compiled once here and not in every document: entries by what they listen to, path patterns
// as regular expressions' sources. Plain data; lib/rules.js reads it. Pure.

import "./rules.js";

const { fits } = globalThis.tracemark;

const SPECIAL = /[.+?^${}()|[\]\\]/g;
const CAUSE_MS = 2000;

/** Inputs from which a request may come, whatever rules there are. */
const CAUSES = ["click", "submit", "change", "keydown"];
/** Inputs that come by the hundred. */
const OFTEN = /^wheel$|cornerstone/i;
/** The viewers' own events. */
const IMAGES = {
  cornerstonenewimage: "new",
  CORNERSTONE_STACK_NEW_IMAGE: "new",
  cornerstoneimagerendered: "rendered",
  CORNERSTONE_IMAGE_RENDERED: "rendered",
  CORNERSTONE_VIEWPORT_NEW_IMAGE_SET: "set",
  cornerstonetoolsmeasurementadded: "drawing",
  cornerstonetoolsmeasurementmodified: "drawing",
  cornerstonetoolsmeasurementcompleted: "drawn",
};
/** Thumbnails are painted by the same library: only what happens in a pane counts. */
const PANE = ".viewport-element, [data-viewport-uid], [data-cy=viewport-pane]";

const tidy = (path) => path.replace(/\/+$/, "");
const segment = (text) =>
  text === "**" ? "(?:/[^/]+)*" : text === "*" ? "/[^/]+" : `/${text.replace(SPECIAL, "\\$&").replaceAll("*", "[^/]*")}`;
const body = (list) => list.map((one) => tidy(one).split("/").slice(1).map(segment).join("")).join("|");

/** Path patterns as a source: `*` is one segment, `**` any number, also none; undefined for none, and for those that anything fits. */
const source = (list) => (list === undefined || list.includes("/**") ? undefined : `^(?:${body(list)})/*$`);

/** What tests paths, of an entry with `paths`, `not_paths` and `format`. */
const tested = ({ paths, not_paths: refused, format }) => ({ want: source(paths), not: source(refused), format });

/** The first segment, by which most requests of a page are none of ours. */
const rootOf = (path) => path.split("/")[1];

function entryOf(action, { paths, not_paths, from, expects, then, ...raw }) {
  const entry = { ...raw, action, ...tested({ paths, not_paths, ...raw }), cause_ms: raw.cause_ms ?? CAUSE_MS, caused: raw.cause_ms !== undefined };
  if (from !== undefined) entry.from = from && tested(from);
  if (expects) entry.expects = { ...expects, ...tested(expects) };
  if (then) entry.then = entryOf(action, then);
  return entry;
}

/** An action, with its ends by the way in which they are known. */
function actionOf({ name, dom }) {
  const ends = Object.fromEntries(dom.end.map((raw) => [raw.slices ? "slices" : raw.by, entryOf(name, raw)]));
  return { name, ends, at_most_ms: dom.at_most_ms, confirm: dom.confirm };
}

/** By which of lib/endings.js an action is over that begins with this entry, and which of its ends tells how. */
function endOf(ends, { on, navigates }) {
  if (on === "request" && ends.requests && !navigates) return ["burst", "requests"];
  if (ends.state) return ["cine", "state"];
  if (ends.download) return ["download", "download"];
  if (ends.navigation && on !== "navigation") return ["arrive", "navigation"];
  if (ends.slices) return ["slices", "slices"];
  if (ends.requests && on !== "mousedown") return ["burst", "requests"];
  if (ends.timer) return [ends.rendered ? "gesture" : "fold", "timer"];
  return ["loaded", "navigation"];
}

/** Addresses whose result is awaited on the screen. */
const shownBy = (dom) => dom.end.flatMap(({ expects, then }) => [expects, then?.expects]).filter((one) => one?.shows);

/**
 * Compiles `{version, actions: [{name, dom}]}`. An action that cannot be used (without an end, say) is left out and counted in `bad`:
 * rules may come from a policy and must never break a page.
 */
export function pageRules({ version, actions }) {
  const made = { version, images: IMAGES, pane: PANE, actions: {}, inputs: {}, requests: [], documents: [], roots: [], slices: [], shown: undefined, keys: ["Enter"], bad: 0 };
  const shown = [];
  for (const one of Array.isArray(actions) ? actions : []) {
    try {
      if (one.dom.begin.length === 0) continue; // switched off by the site
      const action = actionOf(one);
      const entries = one.dom.begin.map((raw) => {
        const [kind, end] = endOf(action.ends, raw);
        return { ...entryOf(one.name, raw), kind, end };
      });
      made.actions[one.name] = action;
      const { want, not } = action.ends.slices ?? {};
      if (want && !made.slices.some((known) => known.want === want && known.not === not)) made.slices.push({ want, not });
      shown.push(...shownBy(one.dom));
      for (const [place, entry] of entries.entries()) {
        made.keys.push(...(entry.keys ?? []));
        if (entry.on === "request") {
          made.requests.push(entry);
          made.roots.push(...(one.dom.begin[place].paths ?? ["/**"]).map(rootOf));
        } else if (entry.on === "navigation") made.documents.push(entry);
        else (made.inputs[entry.on] ??= { entries: [] }).entries.push(entry);
      }
    } catch {
      delete made.actions[one?.name];
      made.bad += 1;
    }
  }
  for (const kind of Object.values(made.inputs)) {
    const selectors = kind.entries.map((entry) => entry.selector ?? entry.within);
    if (!selectors.includes(undefined)) kind.any = [...new Set(selectors)].join(", ");
  }
  const types = [...new Set([...CAUSES, ...Object.keys(made.inputs)])];
  made.seldom = types.filter((type) => !OFTEN.test(type));
  made.often = types.filter((type) => OFTEN.test(type));
  if (shown.length > 0) made.shown = `(?:${body(shown.flatMap(({ paths }) => paths))})/*(?:[?#]|$)`;
  made.roots = [...new Set(made.roots.map((root) => (root.includes("*") ? "*" : root)))];
  return made;
}

/** The test of a path by an entry of the catalogue, and of the format that is asked for. */
export function fitting(entry) {
  const compiled = tested(entry);
  return (path, asked) => fits(compiled, path, asked);
}
