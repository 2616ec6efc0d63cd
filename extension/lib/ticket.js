// Getting in without a typed secret: the site's own origin gives a short-lived ticket to whoever is signed in there.

/** Renewed this long before it ends. */
const EARLY_MS = 30_000;

export class TicketError extends Error {
  /** `no_ticket`: whoever signs in gets one. `ticket_refused`: nothing that a person does there helps. */
  code = "no_ticket";
  retry_after_ms = 0;
}

/**
 * Runs in a page of the site, apart from the page's own scripts, so that the browser adds the site's cookie by itself; we never see
 * it. It is sent there as text and must need nothing from outside. `renew`: an older ticket, for what its session left.
 */
export async function requestTicket(address, renew) {
  try {
    const answer = await fetch(address, {
      method: "POST",
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(renew ? { renew } : {}),
    });
    const after_s = Number(answer.headers.get("Retry-After") ?? 0);
    if (!answer.ok) return { status: answer.status, after_s };
    const { ticket, expires_ns, session } = await answer.json();
    return { status: answer.status, ticket, expires_ns, session };
  } catch {
    return { status: 0 };
  }
}

const WHY = {
  0: "The site cannot be reached, or its answer is no ticket",
  401: "You are not signed in to the site",
  403: "The site does not give this page a ticket",
  404: "The site does not hand out tickets",
  429: "The site was asked for tickets too often",
  503: "The sidecar cannot ask the site who is signed in",
};
const SESSION = /^[A-Za-z0-9_-]{8,64}$/;

/** Whether this ticket `{ticket, expires_ms}` can still be shown. */
export const isGood = (ticket, now_ms) => Boolean(ticket) && now_ms < ticket.expires_ms - EARLY_MS;

/**
 * A ticket as `{ticket, expires_ms, session}`, or null when `renew` is too old to be renewed. `ask(address, renew)` runs
 * `requestTicket` in a tab of the site; it gives undefined where there is none. Raises TicketError with words for people.
 */
export async function getTicket(ask, address, renew) {
  const answer = await ask(address, renew);
  if (!answer) throw new TicketError("No page of the site is open");
  if (answer.status === 400 && renew) return null;
  const { ticket, session } = answer;
  if (typeof ticket === "string" && ticket !== "" && SESSION.test(session)) {
    return { ticket, session, expires_ms: Number(answer.expires_ns) / 1e6 || 0 };
  }
  const error = new TicketError(WHY[answer.status] ?? `The site's answer to the question for a ticket was ${answer.status}`);
  if (answer.status !== 0 && answer.status !== 401) error.code = "ticket_refused";
  error.retry_after_ms = (answer.after_s || 0) * 1000;
  throw error;
}
