// What this browser is set to do: the organisation's policy first, then what the package carries, then what the person chose. Pure.
// Every setting is checked alone: a bad one is left out and named, the others stand.

export const AUTH = ["token", "ticket"];
export const CONSENT = ["ask", "given", "refused"];
const CONTEXT_PATH = /^(\/[A-Za-z0-9._~-]+)*$/;

class Unfit extends Error {}

function socketUrl(value) {
  const fault = new Unfit("must be an address such as wss://sidecar.example.org/markers");
  if (typeof value !== "string" || !URL.canParse(value)) throw fault;
  const url = new URL(value);
  if (!["ws:", "wss:"].includes(url.protocol) || url.username || url.password || url.hash) throw fault;
  if (url.pathname === "/") url.pathname = "/markers";
  return url.href;
}

function origins(value) {
  const fault = new Unfit("must be a list of addresses such as https://xnat.example.org");
  if (!Array.isArray(value) || value.length > 20) throw fault;
  return value.map((site) => {
    if (typeof site !== "string" || !URL.canParse(site)) throw fault;
    const url = new URL(site);
    const bare = url.pathname === "/" && !url.search && !url.hash && !url.username && !url.password;
    if (!["http:", "https:"].includes(url.protocol) || !bare) throw fault;
    return url.origin;
  });
}

function contextPath(value) {
  const path = typeof value === "string" ? value.replace(/\/$/, "") : value;
  if (typeof path !== "string" || !CONTEXT_PATH.test(path)) throw new Unfit("must be a path such as /xnat, or empty");
  return path;
}

const oneOf = (words) => (value) => {
  if (!words.includes(value)) throw new Unfit(`must be ${words.join(", ").replace(/, ([^,]*)$/, " or $1")}`);
  return value;
};

function truth(value) {
  if (typeof value !== "boolean") throw new Unfit("must be true or false");
  return value;
}

function share(value) {
  if (typeof value !== "number" || !(value >= 0 && value <= 1)) throw new Unfit("must be a number from 0 to 1");
  return value;
}

function secret(value) {
  if (typeof value !== "string" || value.length > 4096) throw new Unfit("must be a text of at most 4096 characters");
  return value;
}

/** Overrides of the catalogue's DOM rules: `{action: {dom} or null}`, as an object or as JSON text (Chrome's policies need text). */
function overrides(value) {
  let rules = value;
  try {
    if (typeof value === "string") rules = value.trim() === "" ? {} : JSON.parse(value);
  } catch {
    throw new Unfit("is no JSON");
  }
  if (rules === null || typeof rules !== "object" || Array.isArray(rules)) throw new Unfit("must be an object of actions");
  for (const [action, rule] of Object.entries(rules)) {
    if (rule !== null && (typeof rule?.dom !== "object" || rule.dom === null)) {
      throw new Unfit(`must give ${action} an object with "dom", or null to switch it off`);
    }
  }
  return rules;
}

/** name, check, default, and whether a person may set it where the policy does not; "unmanaged": only where there is no policy at all. */
export const SETTINGS = Object.freeze([
  { name: "sidecar_url", check: socketUrl, fallback: "", personal: true },
  { name: "sites", check: origins, fallback: [], personal: true },
  { name: "context_path", check: contextPath, fallback: "", personal: true },
  { name: "auth", check: oneOf(AUTH), fallback: "token", personal: true },
  { name: "token", check: secret, fallback: "", personal: true },
  { name: "rating", check: truth, fallback: false, personal: true },
  { name: "recorder", check: truth, fallback: false, personal: "unmanaged" },
  { name: "traceparent", check: truth, fallback: false, personal: false },
  { name: "consent", check: oneOf(CONSENT), fallback: "ask", personal: false },
  { name: "sampling", check: share, fallback: 1, personal: false },
  { name: "rules", check: overrides, fallback: {}, personal: false },
]);

/**
 * The settings that count: `{config, locked, faults}`. `locked`: names that the policy or the package decides; `faults`: texts for
 * people, each naming the setting and what is allowed.
 */
export function resolve({ managed = {}, packaged = {}, personal = {} }) {
  const config = {};
  const locked = [];
  const faults = [];
  const isManaged = Object.keys(managed).length > 0;
  for (const setting of SETTINGS) {
    config[setting.name] = setting.fallback;
    const mine = setting.personal === "unmanaged" ? !isManaged : setting.personal;
    if (setting.personal && !mine) locked.push(setting.name);
    const places = [
      ["your organisation's policy", managed],
      ["this package", packaged],
      ["the options", mine ? personal : {}],
    ];
    for (const [place, values] of places) {
      if (values?.[setting.name] === undefined) continue;
      if (values !== personal) locked.push(setting.name);
      try {
        config[setting.name] = setting.check(values[setting.name]);
      } catch (error) {
        if (!(error instanceof Unfit)) throw error;
        faults.push({ name: setting.name, text: `${setting.name} in ${place} ${error.message}` });
      }
      break;
    }
  }
  for (const name of Object.keys(managed)) {
    if (!SETTINGS.some((setting) => setting.name === name)) faults.push({ name, text: `${name} in your organisation's policy is no setting` });
  }
  return { config, locked: [...new Set(locked)], faults };
}

/** What a person typed, one setting checked: `{value}` or `{fault}`. */
export function checked(name, value) {
  const setting = SETTINGS.find((one) => one.name === name && one.personal);
  if (!setting) return { fault: "is no setting of yours" };
  try {
    return { value: setting.check(value) };
  } catch (error) {
    if (!(error instanceof Unfit)) throw error;
    return { fault: error.message };
  }
}

export const isConfigured = (config) => config.sidecar_url !== "" && config.sites.length > 0;
