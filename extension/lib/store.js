// The outbox's place on disk: one IndexedDB database; every write is one transaction, so that numbers and entries never part.

const NAME = "tracemark";
const COUNTERS = "counters";
/** On a full disk Chromium may leave a change unfinished for ever: everything else must not wait for it. */
const PATIENCE_MS = 5000;

const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** The same, unless it takes too long. */
function inTime(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error("the disk does not answer"), { name: "TimeoutError" })), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function open(factory) {
  const request = factory.open(NAME, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("entries", { keyPath: ["session", "seq"] });
    request.result.createObjectStore("sessions", { keyPath: "session" });
    request.result.createObjectStore("counters");
  };
  return done(request);
}

export class IndexedStore {
  #factory;
  #database = null;

  constructor(factory) {
    this.#factory = factory;
  }

  /** `{sessions, entries, counters}`, entries in the order of session and seq. */
  async load() {
    const stores = (await this.#open()).transaction(["sessions", "entries", "counters"]);
    const [sessions, entries, counters] = await Promise.all([
      done(stores.objectStore("sessions").getAll()),
      done(stores.objectStore("entries").getAll()),
      done(stores.objectStore("counters").get(COUNTERS)),
    ]);
    return { sessions, entries, counters };
  }

  /** All of this or nothing: sessions to keep and to forget, entries to put and to drop (by their keys), the counters. */
  async write({ sessions, forget, put, drop, counters }) {
    const database = await this.#open();
    const change = database.transaction(["sessions", "entries", "counters"], "readwrite", { durability: "relaxed" });
    const finished = new Promise((resolve, reject) => {
      change.oncomplete = resolve;
      change.onabort = () => reject(change.error ?? new Error("the outbox could not be written"));
    });
    const entries = change.objectStore("entries");
    for (const key of drop) entries.delete(key);
    for (const entry of put) entries.put(entry);
    const kept = change.objectStore("sessions");
    for (const record of sessions) kept.put(record);
    for (const session of forget) kept.delete(session);
    change.objectStore("counters").put(counters, COUNTERS);
    try {
      await inTime(finished);
    } catch (error) {
      if (error.name === "TimeoutError") this.#leave(database);
      throw error;
    }
  }

  /** The next change asks for the database anew. What is unfinished comes to its end, or not, before that: it is put once more then. */
  #leave(database) {
    database.close();
    this.#database = null;
  }

  #open() {
    this.#database ??= inTime(open(this.#factory)).then(
      (database) => {
        const forget = () => (this.#database = null);
        database.onclose = forget;
        database.onversionchange = () => {
          database.close();
          forget();
        };
        return database;
      },
      (error) => {
        this.#database = null;
        throw error;
      },
    );
    return this.#database;
  }
}
