// Getting in without a typed secret: the site's own origin gives a short-lived ticket to whoever is signed in there.

/** Renewed this long before it ends. */
const EARLY_MS = 30_000;

export class TicketError extends Error {
  code = "no_ticket";
}

/**
 * Runs in a page of the site, apart from the page's own scripts, so that the browser adds the site's cookie by itself; we never see
 * it. It is sent there as text and must need nothing from outside.
 */
export async function requestTicket(address) {
  try {
    const answer = await fetch(address, { method: "POST", credentials: "same-origin", cache: "no-store", redirect: "error" });
    if (!answer.ok) return { status: answer.status };
    const { ticket, expires_ns } = await answer.json();
    return { status: answer.status, ticket, expires_ns };
  } catch {
    return { status: 0 };
  }
}

const WHY = {
  0: "The site cannot be reached",
  401: "You are not signed in to the site",
  403: "The site lets this person get no ticket",
  404: "The site does not hand out tickets (its proxy lacks the location)",
  429: "The site was asked for tickets too often",
};

/** Keeps the ticket until it is about to end. `ask(address)` runs `requestTicket` in a tab of the site; undefined: no tab. */
export class Tickets {
  #ticket = null;

  /** The ticket that is good now, or a new one. Raises TicketError with words for people. */
  async get(ask, address, now_ms) {
    if (this.#ticket && now_ms < this.#ticket.expires_ms - EARLY_MS) return this.#ticket.ticket;
    this.#ticket = null;
    const answer = await ask(address);
    if (answer === undefined) throw new TicketError("No tab of the site is open");
    if (typeof answer.ticket !== "string" || answer.ticket === "") {
      throw new TicketError(WHY[answer.status] ?? `The site's answer for a ticket was ${answer.status}`);
    }
    const expires_ms = Number(answer.expires_ns) / 1e6;
    this.#ticket = { ticket: answer.ticket, expires_ms: Number.isFinite(expires_ms) ? expires_ms : now_ms };
    return answer.ticket;
  }

  /** The sidecar did not like it, or somebody else signed in. */
  forget() {
    this.#ticket = null;
  }
}
