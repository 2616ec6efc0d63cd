// What a hello shows: the token, or a ticket that the site gives to whoever is signed in there.

import { getTicket, isGood, requestTicket } from "./ticket.js";

/** Behind the site's own name, below XNAT's context path; the site's proxy hands it to the sidecar. */
const TICKETS = "/tracemark/api/v1/tickets";

/** A page that is left meanwhile never answers (in Firefox; in Chromium it fails): then undefined, and another page is asked. */
const answered = (page, asked) =>
  Promise.race([asked, new Promise((resolve) => page.port.onDisconnect.addListener(() => resolve(undefined)))]);

export class Admission {
  #ports;

  /** `ports`: browser, outbox, wall_ms(), page() (a document of the site, or undefined), named(from, to) (a session got its name). */
  constructor(ports) {
    this.#ports = ports;
  }

  /** `{session, token?, ticket?}`: also the name that the sidecar knows the session by. Raises TicketError. */
  async credentials(session, { auth, token, context_path }) {
    if (auth === "token") return token ? { session, token } : { session };
    const { outbox } = this.#ports;
    const held = outbox.ticket(session);
    if (isGood(held, this.#ports.wall_ms())) return { session, ticket: held.ticket };
    const page = this.#ports.page();
    const ask = async (...asked) => page && answered(page, this.#ports.browser.ask(page.tab, requestTicket, asked).catch(() => undefined));
    const address = `${page?.site}${context_path}${TICKETS}`;
    // A session that has had a ticket keeps its name, whoever is signed in now; one that had none belongs to the present login.
    const got = (await getTicket(ask, address, held?.ticket ?? null)) ?? (await getTicket(ask, address, null));
    if (got.session !== session) {
      await outbox.adopt(session, got.session);
      await this.#ports.named(session, got.session);
    }
    await outbox.keepTicket(got.session, { ticket: got.ticket, expires_ms: got.expires_ms });
    return { session: got.session, ticket: got.ticket };
  }
}
