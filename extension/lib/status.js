// What the badge and the popup say: the one state that matters most now, in words, and what to do about it. Pure.

const GREEN = "#1a6b3c";
const AMBER = "#8a5a00";
const RED = "#a8200d";
const GREY = "#52606d";
const BLUE = "#0b5cad";

const STATES = {
  recording: { text: "on", colour: GREEN },
  ready: { text: "", colour: GREEN },
  flawed: { text: "on!", colour: AMBER },
  rating: { text: "1–5", colour: BLUE },
  scenario: { text: "rec", colour: RED },
  paused: { text: "II", colour: GREY },
  off: { text: "off", colour: GREY },
  not_sampled: { text: "off", colour: GREY },
  consent: { text: "?", colour: BLUE },
  not_configured: { text: "?", colour: GREY },
  no_permission: { text: "!", colour: RED },
  storage_full: { text: "!", colour: RED },
  failed: { text: "!", colour: RED },
  refused: { text: "!", colour: RED },
  not_connected: { text: "!", colour: AMBER },
};

const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
const hosts = (sites) => sites.map((site) => new URL(site).host).join(", ");

/** Why the sidecar could not be reached or will not listen, and what to do. */
function linkTrouble({ code, message }, config) {
  const kept = "What you do is kept in this browser and sent later.";
  switch (code) {
    case "not_allowed":
      return config.auth === "ticket"
        ? ["not_connected", "The sidecar does not accept this browser's ticket", `Sign in to the site again. ${kept}`]
        : ["refused", "The sidecar refuses the token", "Correct the token in the options, or ask whoever set up Tracemark."];
    case "version":
      return ["refused", "The sidecar speaks another version", "Update the extension or the sidecar, whichever is older."];
    case "no_ticket":
      return ["not_connected", message || "The site gave no ticket", `Sign in to the site; a tab of it must be open. ${kept}`];
    case "ticket_refused":
      return ["not_connected", message, `It is tried again by itself; if it stays like this, tell whoever set up Tracemark. ${kept}`];
    case "address":
      return ["refused", "The sidecar's address cannot be used", `${message} Correct the sidecar's address in the options.`];
    case "replaced":
      return ["refused", "Another browser took this session over", "Restart the browser to begin a new session."];
    case "journal_full":
    case "journal_failed":
      return ["not_connected", "The sidecar cannot store anything now", `Tell whoever looks after the sidecar. ${kept}`];
    case "bad_message":
    case "too_large":
    case "refused":
      return ["refused", "The sidecar did not understand this extension", "Update the extension; if that does not help, tell whoever set it up."];
    default:
      return ["not_connected", "The sidecar cannot be reached", `Nothing is lost: it is tried again by itself. ${kept}`];
  }
}

function judge(facts) {
  const { config, faults, consent, paused, pause, permitted, sampled, link, fault, rating_due } = facts;
  if (fault) return ["failed", "Tracemark cannot work in this browser", `${fault} Restart the browser; if that does not help, reinstall the extension.`];
  if (!facts.configured) {
    return faults.length > 0
      ? ["not_configured", "The settings are not right", "Nothing is recorded. Correct what is named below."]
      : ["not_configured", "Not set up yet", "Nothing is recorded. Open the options and name the site and the sidecar."];
  }
  if (consent.decision === "refused") {
    return consent.by === "policy"
      ? ["off", "Switched off by your organisation", "Nothing is recorded."]
      : ["off", "You chose not to record", "Nothing is recorded. You can change your mind any time."];
  }
  if (consent.decision === "undecided") return ["consent", "Your decision is needed", "Nothing is recorded until you agree."];
  if (!permitted) {
    return ["no_permission", `No access to ${hosts(config.sites)}`, "Nothing is recorded. Open the options and allow access to the site."];
  }
  if (paused) {
    const until = pause.until_ms === null ? "until you resume" : `until ${clock(pause.until_ms)}`;
    return ["paused", `Paused ${until}`, "Nothing is recorded."];
  }
  if (!sampled) return ["not_sampled", "This session is not in the sample", "Nothing is recorded; a later session may be."];
  if (facts.scenario) {
    return ["scenario", "A scenario is being recorded", "Where you click goes into a file of yours, what you type does not. Stop it in the options."];
  }
  if (facts.storage_full) {
    return ["storage_full", "There is no room to keep markers", "Free some disk space, or let the browser's profile grow; new markers are lost meanwhile."];
  }
  if (link.trouble) return linkTrouble(link.trouble, config);
  if (faults.length > 0) return ["flawed", "Recording, but a setting is not right", "Tell whoever set up Tracemark what is named below."];
  if (rating_due) return ["rating", "How did it feel just now?", "One click, or ignore it."];
  return facts.tabs > 0
    ? ["recording", `Recording on ${hosts(config.sites)}`, "Only which action, and when it began and ended."]
    : ["ready", `Ready for ${hosts(config.sites)}`, "Nothing is recorded while no page of it is open."];
}

/** `{state, headline, todo, notes, badge, title}` of these facts. */
export function status(facts) {
  const [state, headline, todo] = judge(facts);
  const { text, colour } = STATES[state];
  const title = `Tracemark: ${headline}`;
  return { state, headline, todo, notes: facts.faults.map((fault) => fault.text), badge: { text, colour, title } };
}

/** The badge of a tab that is not on a site: problems are everyone's business, recording is not. */
export const elsewhere = ({ state, badge }) => (state === "recording" || state === "rating" ? { ...badge, text: "" } : badge);
