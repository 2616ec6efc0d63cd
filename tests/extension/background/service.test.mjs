import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { OffsetEstimator } from "../../../extension/lib/clock.js";
import { Outbox } from "../../../extension/lib/outbox.js";
import { Service } from "../../../extension/lib/service.js";
import { clientFault } from "./support/schema.mjs";
import { FakeSidecar, MemoryStore, fakeBrowser, fakePort, settle } from "./support/fakes.mjs";

/** Stop the timers; node 18 takes the list itself, later ones an object around it. */
function standStill() {
  try {
    mock.timers.enable({ apis: ["setTimeout"] });
  } catch {
    mock.timers.enable(["setTimeout"]);
  }
}

const SITE = "https://xnat.example.org";
const POLICY = { sidecar_url: "wss://sidecar.example.org/markers", sites: [SITE], consent: "given", token: "secret" };
const GRANTED = [`${SITE}/*`];
const START = 1763817600000;

let sidecar;
let store;
let now_ms;
let drawn;
beforeEach(() => {
  standStill();
  sidecar = new FakeSidecar();
  store = new MemoryStore();
  now_ms = START;
  drawn = 0;
});
afterEach(() => mock.timers.reset());

async function pass(ms) {
  for (let left = ms; left > 0; left -= 500) {
    now_ms += Math.min(500, left);
    mock.timers.tick(Math.min(500, left));
    await settle(8);
  }
}

/** A background over the given browser; `kill` ends it as browsers do: nothing of it runs any more. */
async function background(browser, { wall_ms = () => now_ms } = {}) {
  const ports = {
    browser,
    outbox: new Outbox(store, () => now_ms),
    estimator: new OffsetEstimator(),
    dial: sidecar.dial,
    now_ms: () => now_ms,
    wall_ms,
    random: () => 1,
    randomBytes: (count) => new Uint8Array(count).fill((drawn += 1)),
    loadJson: async (name) => (name === "catalogue.json" ? browser.catalogue : {}),
    alone: async () => undefined,
  };
  const service = new Service(ports);
  service.start();
  await settle();
  return service;
}

async function page(service, options) {
  const port = fakePort(options);
  service.connected(port);
  port.tell({ type: "hello", top: true });
  await settle();
  return port;
}

let drawnIds = 0;
const action = (name = "scroll") => {
  const action_id = (drawnIds += 1).toString(16).padStart(16, "0");
  const at = (phase, attrs = {}) => ({ action_id, action: name, phase, wall_ms: now_ms, mono_ms: 1, attrs });
  return { action_id, begin: () => at("begin"), end: (attrs) => at("end", attrs) };
};
const items = (...list) => ({ type: "items", items: list, clock: { wall_ms: now_ms, mono_ms: now_ms }, counts: {} });
async function act(port, name) {
  const one = action(name);
  port.tell(items(one.begin(), one.end({ evidence: "rendered" })));
  await settle();
  return one.action_id;
}
const live = (service) => service.recorder.session.id;
const own = (service, message) => service.asked(message, { id: "us", url: "chrome-extension://us/popup.html" });

test("a marker goes from a page to the sidecar, once, with the clocks compared before", async () => {
  const service = await background(fakeBrowser({ managed: POLICY, origins: GRANTED }));
  const port = await page(service);
  assert.equal(port.state.recording, true);
  assert.ok(port.state.rules.actions.scroll && port.state.rules.inputs.wheel);
  await act(port);
  const stored = sidecar.markers(live(service));
  assert.deepEqual(stored.map((one) => [one.seq, one.phase, one.offset_ns]), [[1, "begin", 0], [2, "end", 0]]);
  assert.equal(clientFault({ type: "markers", items: stored }), "");
  assert.equal(clientFault(sidecar.hellos[0]), "");
  assert.equal(sidecar.hellos[0].token, "secret");
  assert.equal(service.outbox.totals.count, 0);
  assert.equal(service.now.state, "recording");
});

test("a clock that is set while a page is open, and a reading that is interrupted, leave the page's times where they are", async () => {
  let [set_ms, torn_ms] = [0, 0];
  const service = await background(fakeBrowser({ managed: POLICY, origins: GRANTED }), { wall_ms: () => now_ms + set_ms });
  const port = await page(service);
  const tell = async () => {
    const one = action();
    port.tell({ ...items(one.begin(), one.end()), clock: { wall_ms: now_ms + set_ms, mono_ms: now_ms + torn_ms } });
    await settle();
  };
  await tell();
  set_ms = 5000;
  await tell();
  set_ms = -5000;
  torn_ms = 12;
  await tell();
  assert.deepEqual(sidecar.markers(live(service)).map((one) => one.offset_ns), [0, 0, 0, 0, 0, 0]);
});

test("a policy that comes late changes 'not set up' into recording, and the page is told", async () => {
  const browser = fakeBrowser({ origins: GRANTED });
  const service = await background(browser);
  const port = await page(service);
  assert.equal(service.now.state, "not_configured");
  assert.equal(port.state, undefined);
  browser.held.managed = POLICY;
  service.stored({}, "managed");
  await settle();
  assert.equal(service.now.state, "recording");
  assert.equal(port.state.recording, true);
  assert.deepEqual(browser.held.registered[0].matches, [`${SITE}/*`]);
});

test("after a browser start the last policy counts until the browser has read the present one", async () => {
  const browser = fakeBrowser({ managed: POLICY, origins: GRANTED });
  await background(browser);
  assert.deepEqual(browser.held.local.policy, POLICY);
  browser.held.session = {};
  let answer;
  browser.readManaged = () => new Promise((resolve) => (answer = resolve));
  const service = await background(browser);
  const port = await page(service);
  assert.equal(port.state.recording, true);
  answer({ ...POLICY, consent: "refused" });
  await settle();
  assert.deepEqual([service.now.state, port.state.recording], ["off", false]);
});

test("nothing is recorded before the person agreed; the first page of the site asks once", async () => {
  const browser = fakeBrowser({ managed: { ...POLICY, consent: "ask" }, origins: GRANTED });
  const service = await background(browser);
  const port = await page(service);
  await page(service, { tab: 8 });
  assert.deepEqual([service.now.state, port.state.recording, browser.held.opened], ["consent", false, ["consent.html"]]);
  await act(port);
  assert.equal(service.outbox.totals.count, 0);
  await own(service, { type: "consent", decision: "given" });
  assert.equal(port.state.recording, true);
  await act(port);
  assert.equal(sidecar.markers(live(service)).length, 2);
});

test("refusing deletes what is not yet sent and takes the content script away", async () => {
  const browser = fakeBrowser({ managed: { ...POLICY, consent: "ask" }, local: { consent: { decision: "given" } }, origins: GRANTED });
  sidecar.up = false;
  const service = await background(browser);
  const port = await page(service);
  await act(port);
  assert.equal(service.outbox.totals.count, 2);
  const overview = await own(service, { type: "consent", decision: "refused" });
  await settle();
  assert.deepEqual([overview.state, overview.unsent.count, store.entries.size, browser.held.registered, port.state.recording], ["off", 0, 0, [], false]);
});

test("a content script may not ask what own pages may", async () => {
  const service = await background(fakeBrowser({ managed: POLICY, origins: GRANTED }));
  assert.equal(service.asked({ type: "overview" }, { id: "us", url: `${SITE}/app` }), undefined);
  assert.equal(service.asked({ type: "overview" }, { id: "other", url: "chrome-extension://us/popup.html" }), undefined);
});

test("a page of another origin is told nothing and can tell nothing", async () => {
  const service = await background(fakeBrowser({ managed: POLICY, origins: GRANTED }));
  const port = await page(service, { url: "https://xnat.example.org:9000/app" });
  await act(port);
  assert.deepEqual([port.said, service.outbox.totals.count], [[], 0]);
});

test("paused: the page stops, what is open is cancelled, and it resumes by itself", async () => {
  const browser = fakeBrowser({ managed: POLICY, origins: GRANTED });
  const service = await background(browser);
  const port = await page(service);
  const open = action("play");
  port.tell(items(open.begin()));
  await settle();
  await own(service, { type: "pause", how: "minutes" });
  await settle();
  assert.deepEqual([service.now.state, service.now.badge.text, port.state.recording], ["paused", "II", false]);
  assert.deepEqual(sidecar.markers(live(service)).map((one) => one.phase), ["begin", "cancel"]);
  await act(port);
  assert.equal(sidecar.markers(live(service)).length, 2);
  assert.equal(browser.held.alarms.get("resume").when, START + 900_000);
  now_ms = START + 900_000;
  service.alarm("resume");
  await settle();
  assert.deepEqual([service.now.state, port.state.recording], ["recording", true]);
});

test("a revoked permission is a visible state, the page is told, and a grant brings it back", async () => {
  const browser = fakeBrowser({ managed: POLICY, origins: GRANTED });
  const service = await background(browser);
  const port = await page(service);
  browser.held.origins.clear();
  service.permissionsChanged();
  await settle();
  assert.deepEqual([service.now.state, service.now.badge.text, port.state.recording], ["no_permission", "!", false]);
  assert.match(service.now.todo, /options/);
  browser.held.origins.add(GRANTED[0]);
  service.permissionsChanged();
  await settle();
  assert.equal(port.state.recording, true);
  assert.equal(browser.held.injected.length, 1, "open tabs get the content script");
});

test("the sidecar is away: nothing is lost, the badge says so, and everything arrives once when it is back", async () => {
  sidecar.up = false;
  const service = await background(fakeBrowser({ managed: POLICY, origins: GRANTED }));
  const port = await page(service);
  await act(port);
  assert.deepEqual([service.now.state, service.now.badge.text], ["not_connected", "!"]);
  await pass(120_000);
  await act(port);
  assert.ok(sidecar.sockets.length < 12, `${sidecar.sockets.length} attempts in two minutes`);
  sidecar.up = true;
  await pass(31_000);
  assert.deepEqual(sidecar.markers(live(service)).map((one) => one.seq), [1, 2, 3, 4]);
  assert.deepEqual([service.now.state, service.outbox.totals.count], ["recording", 0]);
});

test("the worker dies between storing and sending, and between sending and the acknowledgement: one copy arrives", async () => {
  const browser = fakeBrowser({ managed: POLICY, origins: GRANTED });
  const first = await background(browser);
  const port = await page(first);
  await act(port);
  sidecar.mute = true;
  await act(port);
  await pass(1000);
  const session = live(first);
  assert.equal(sidecar.markers(session).length, 4);
  sidecar.drop();
  sidecar.mute = false;
  mock.timers.reset();
  standStill();
  const second = await background(browser);
  await act(await page(second));
  assert.equal(live(second), session, "the sitting goes on");
  assert.deepEqual(sidecar.markers(session).map((one) => one.seq), [1, 2, 3, 4, 5, 6]);
  assert.equal(second.outbox.totals.count, 0);
});

test("a batch that a page sends again because it was not told of its storing is stored once", async () => {
  sidecar.up = false;
  const service = await background(fakeBrowser({ managed: POLICY, origins: GRANTED }));
  const port = await page(service);
  const one = action();
  const batch = { ...items(one.begin(), one.end()), batch: 7 };
  port.tell(batch);
  await settle();
  assert.deepEqual(port.said.at(-1), { type: "stored", batch: 7 });
  port.tell({ ...batch, again: true });
  await settle();
  assert.equal(service.outbox.totals.count, 2);
});

test("after a browser start there is a new session; what the old one left is delivered first, as the old one's", async () => {
  const browser = fakeBrowser({ managed: POLICY, origins: GRANTED });
  sidecar.up = false;
  const before = await background(browser);
  await act(await page(before));
  const old = live(before);
  before.link.configure(null);
  browser.held.session = {};
  sidecar.up = true;
  const after = await background(browser);
  await settle();
  await act(await page(after));
  await settle();
  assert.notEqual(live(after), old);
  assert.deepEqual(sidecar.markers(old).map((one) => one.seq), [1, 2]);
  assert.deepEqual(sidecar.markers(live(after)).map((one) => one.seq), [1, 2]);
  assert.deepEqual([...new Set(sidecar.hellos.map((hello) => hello.session))], [old, live(after)]);
});

test("the sidecar is away for more than a week: every session tells it what was lost, also one of which nothing is left", async () => {
  const browser = fakeBrowser({ managed: POLICY, origins: GRANTED });
  sidecar.up = false;
  const before = await background(browser);
  await act(await page(before));
  const old = live(before);
  before.link.configure(null);
  mock.timers.reset(); // the browser ends
  standStill();
  browser.held.session = {};
  now_ms += 4 * 24 * 3600_000;
  const meanwhile = await background(browser);
  await act(await page(meanwhile));
  const newer = live(meanwhile);
  now_ms += 4 * 24 * 3600_000;
  meanwhile.alarm("deliver");
  await settle();
  assert.deepEqual(meanwhile.outbox.totals.dropped_by, { count: 0, bytes: 0, age: 2, full: 0 });
  sidecar.up = true;
  await pass(31_000);
  assert.deepEqual(sidecar.hellos.slice(0, 2).map((hello) => [hello.session, hello.resume_seq]), [[old, 3], [newer, undefined]]);
  assert.deepEqual([sidecar.markers(old), sidecar.markers(newer).length], [[], 2]);
  assert.deepEqual([meanwhile.outbox.waiting(), sidecar.hellos.map((hello) => hello.session)], [[], [old, newer, live(meanwhile)]]);
});

test("a sidecar that refuses the token: a final state with what to do, no knocking; a new token is tried at once", async () => {
  sidecar.refusal = { say: { type: "error", code: "not_allowed", message: "the token is missing or wrong" }, code: 4401 };
  const browser = fakeBrowser({ managed: POLICY, origins: GRANTED });
  const service = await background(browser);
  const port = await page(service);
  await act(port);
  await pass(60_000);
  assert.deepEqual([service.now.state, sidecar.sockets.length], ["refused", 1]);
  assert.match(service.now.headline + service.now.todo, /token/);
  sidecar.refusal = null;
  browser.held.managed = { ...POLICY, token: "right" };
  service.stored({}, "managed");
  await settle();
  assert.deepEqual([sidecar.hellos.at(-1).token, sidecar.markers(live(service)).length, service.now.state], ["right", 2, "recording"]);
});

test("an address that the browser refuses, and a malformed policy: each is named with its remedy", async () => {
  const browser = fakeBrowser({ managed: { ...POLICY, sampling: "most", sidecar_url: "http://wrong" }, origins: GRANTED });
  const service = await background(browser);
  assert.equal(service.now.state, "not_configured");
  assert.equal(service.now.notes.length, 2);
  assert.match(service.now.notes.join(), /sidecar_url .* wss:.*sampling/);
  browser.held.managed = { ...POLICY, sampling: "most" };
  service.stored({}, "managed");
  await settle();
  await page(service);
  assert.deepEqual([service.now.state, service.now.badge.text], ["flawed", "on!"]);
});

test("a full disk is a visible state; the page is not held up, and it goes away when there is room", async () => {
  const service = await background(fakeBrowser({ managed: POLICY, origins: GRANTED }));
  const port = await page(service);
  store.full = true;
  await act(port);
  assert.equal(service.now.state, "storage_full");
  assert.equal(service.outbox.totals.dropped, 2);
  store.full = false;
  await act(port);
  assert.equal(service.now.state, "recording");
  assert.deepEqual([sidecar.hellos.at(-1).resume_seq, sidecar.hellos.length], [3, 2], "the sidecar hears of the two that were lost");
  assert.deepEqual(sidecar.markers(live(service)).map((one) => one.seq), [3, 4]);
});

test("a full disk while the sidecar is away: what was kept before arrives, and the hole after it is told", async () => {
  sidecar.up = false;
  const service = await background(fakeBrowser({ managed: POLICY, origins: GRANTED }));
  const port = await page(service);
  await act(port);
  await act(port);
  store.full = true;
  await act(port);
  store.full = false;
  await act(port);
  sidecar.up = true;
  await pass(31_000);
  const told = sidecar.markers(live(service)).map((one) => one.seq);
  assert.deepEqual(told, [3, 4, 7, 8], "the first two made room, in vain");
  assert.deepEqual([service.outbox.totals.count, sidecar.last.get(live(service))], [0, 8]);
});

test("storage that cannot be read at all is a visible state", async () => {
  store.load = async () => {
    throw new Error("corrupt");
  };
  const service = await background(fakeBrowser({ managed: POLICY, origins: GRANTED }));
  assert.equal(service.now.state, "failed");
  const port = await page(service);
  assert.notEqual(port.state?.recording, true);
});

test("a session outside the sample is not recorded, and the popup says so", async () => {
  const service = await background(fakeBrowser({ managed: { ...POLICY, sampling: 0 }, origins: GRANTED }));
  const port = await page(service);
  assert.deepEqual([service.now.state, port.state.recording, sidecar.sockets.length], ["not_sampled", false, 0]);
});

test("while a page is open there is a sign of life every 20 s; without one the socket is closed", async () => {
  const browser = fakeBrowser({ managed: POLICY, origins: GRANTED });
  const service = await background(browser);
  const port = await page(service);
  assert.equal(service.link.state, "open");
  await pass(61_000);
  assert.equal(browser.held.awake, 3);
  port.leave();
  await settle();
  assert.equal(service.link.state, "idle");
  assert.equal(service.now.state, "ready");
  await pass(60_000);
  assert.ok(browser.held.awake <= 4);
});

test("a bound that is wide because the first pings were slow is narrowed soon", async () => {
  const service = await background(fakeBrowser({ managed: POLICY, origins: GRANTED }));
  sidecar.late_ms = 80;
  await page(service);
  assert.ok(service.offset.error_ms >= 40);
  sidecar.late_ms = 2;
  await pass(1000);
  assert.ok(service.offset.error_ms < 1.1, `after a second, not ${service.offset.error_ms}`);
  assert.equal(sidecar.pings, 11);
  await pass(15_000);
  assert.equal(sidecar.pings, 11, "narrow: nothing more before the regular sign of life");
});

test("a way that is always long is not asked all the time", async () => {
  sidecar.late_ms = 200;
  await page(await background(fakeBrowser({ managed: POLICY, origins: GRANTED })));
  await pass(19_000);
  assert.equal(sidecar.pings, 8 + 4 * 3);
});

test("a silent sidecar is left and dialled again", async () => {
  const service = await background(fakeBrowser({ managed: POLICY, origins: GRANTED }));
  await page(service);
  sidecar.sockets[0].send = () => undefined;
  await pass(90_000);
  assert.ok(sidecar.sockets.length >= 2);
  assert.equal(service.link.state, "open");
});

test("an action that began in one document ends in the next one; what a closed tab left is cancelled", async () => {
  const service = await background(fakeBrowser({ managed: POLICY, origins: GRANTED }));
  const first = await page(service);
  const login = action("login");
  const play = action("play");
  first.tell(items(login.begin()));
  await settle();
  first.leave();
  const second = await page(service);
  assert.deepEqual(second.state.open, [{ action_id: login.action_id, action: "login", begun_wall_ms: START, own: true }]);
  now_ms += 1500;
  second.tell(items(login.end({ evidence: "navigation" }), play.begin()));
  await settle();
  service.tabClosed(7);
  await pass(1500);
  const stored = sidecar.markers(live(service));
  assert.deepEqual(stored.map((one) => [one.action, one.phase]), [["login", "begin"], ["login", "end"], ["play", "begin"], ["play", "cancel"]]);
  assert.equal(stored[1].mono_ns - stored[0].mono_ns, 1.5e9);
});

test("with the permission the browser ends downloads, with their bytes; a broken one is cancelled", async () => {
  const browser = fakeBrowser({ managed: POLICY, origins: GRANTED, downloads: true });
  let created;
  let changed;
  browser.watchDownloads = (...listeners) => ([created, changed] = listeners) && true;
  const service = await background(browser);
  service.watchFiles();
  const port = await page(service);
  assert.equal(port.state.downloads, true);
  for (const [id, state] of [[5, "complete"], [6, "interrupted"]]) {
    const one = action("download");
    port.tell(items(one.begin()));
    port.tell({ type: "await_download", action_id: one.action_id });
    await settle();
    created({ id: 99, url: "https://elsewhere.example.org/x" });
    created({ id, url: `${SITE}/data/files?format=zip` });
    await settle();
    now_ms += 4000;
    changed({ id, state: { current: state } });
    await settle();
  }
  const stored = sidecar.markers(live(service));
  assert.deepEqual(stored.map((one) => [one.phase, one.attrs]), [["begin", {}], ["end", { evidence: "download", bytes: 2000 }], ["begin", {}], ["cancel", {}]]);
  assert.equal(stored[1].mono_ns - stored[0].mono_ns, 4e9);
});

test("without it the site's answers end downloads, if they may be seen; an error is cancelled; pages are no files", async () => {
  const browser = fakeBrowser({ managed: POLICY, origins: GRANTED });
  browser.held.requests = true;
  let begun;
  let over;
  browser.watchRequests = (...listeners) => ([begun, over] = listeners) && true;
  const service = await background(browser);
  service.watchFiles();
  const port = await page(service);
  for (const [requestId, statusCode] of [["5", 200], ["6", 500]]) {
    const one = action("download");
    port.tell(items(one.begin()));
    port.tell({ type: "await_download", action_id: one.action_id });
    await settle();
    begun({ requestId: "90", method: "GET", url: `${SITE}/data/projects/P` });
    begun({ requestId: "91", method: "GET", url: "https://elsewhere.example.org/data/x/files?format=zip" });
    begun({ requestId, method: "GET", url: `${SITE}/data/experiments/E/scans/2/files?format=zip` });
    await settle();
    now_ms += 4000;
    over({ requestId: "90", statusCode: 200, timeStamp: now_ms }, false);
    over({ requestId, statusCode, timeStamp: now_ms - 100, responseHeaders: [{ name: "Content-Length", value: "7" }] }, false);
    await settle();
  }
  const stored = sidecar.markers(live(service));
  assert.deepEqual(stored.map((one) => [one.phase, one.attrs]), [["begin", {}], ["end", { evidence: "requests", bytes: 7 }], ["begin", {}], ["cancel", {}]]);
  assert.equal(stored[1].mono_ns - stored[0].mono_ns, 3.9e9);
});

test("a download whose end nobody sees is left open: no end is made up, and it is not called cancelled", async () => {
  const service = await background(fakeBrowser({ managed: POLICY, origins: GRANTED }));
  const port = await page(service);
  const one = action("download");
  port.tell(items(one.begin()));
  port.tell({ type: "await_download", action_id: one.action_id });
  await settle();
  now_ms += 2 * 3600_000;
  service.wake();
  await settle();
  assert.deepEqual(sidecar.markers(live(service)).map((item) => item.phase), ["begin"]);
});

test("the question how it felt: after 20 minutes, never during an action, and the answer travels", async () => {
  const browser = fakeBrowser({ managed: { ...POLICY, rating: true }, origins: GRANTED });
  const service = await background(browser);
  const port = await page(service);
  const id = await act(port);
  assert.equal(service.now.state, "recording");
  await pass(20 * 60_000 + 20_000);
  const open = action("play");
  port.tell(items(open.begin()));
  await settle();
  assert.equal(service.now.state, "recording", "something is under way");
  port.tell(items(open.end()));
  await settle();
  assert.deepEqual([service.now.state, service.now.badge.text], ["rating", "1–5"]);
  await own(service, { type: "rate", score: 4 });
  await settle();
  const rating = sidecar.markers(live(service)).at(-1);
  assert.deepEqual([rating.type, rating.score, rating.action_id], ["rating", 4, open.action_id]);
  assert.notEqual(rating.action_id, id);
  assert.equal(clientFault(rating), "");
  assert.equal(service.now.state, "recording");
});

test("what a page had to drop is counted over documents and shown", async () => {
  const service = await background(fakeBrowser({ managed: POLICY, origins: GRANTED }));
  const first = await page(service);
  const counted = (counts) => ({ ...items(), counts });
  for (const dropped of [2, 5]) first.tell(counted({ dropped, errors: 0, "Doe^John": 3 }));
  (await page(service)).tell(counted({ dropped: 1, errors: 1 }));
  await settle();
  assert.deepEqual((await own(service, { type: "overview" })).page_counts, { dropped: 6, errors: 1 });
});

test("the popup shows the last 50 markers exactly as sent", async () => {
  const service = await background(fakeBrowser({ managed: POLICY, origins: GRANTED }));
  const port = await page(service);
  for (let count = 0; count < 30; count += 1) await act(port);
  const { recent } = await own(service, { type: "overview" });
  assert.deepEqual(recent, sidecar.markers(live(service)).slice(-50));
});

test("deleting what is not yet sent: it never arrives, and what comes later does", async () => {
  sidecar.up = false;
  const service = await background(fakeBrowser({ managed: POLICY, origins: GRANTED }));
  const port = await page(service);
  await act(port);
  const { unsent } = await own(service, { type: "delete" });
  assert.deepEqual([unsent.count, unsent.deleted, store.entries.size], [0, 2, 0]);
  sidecar.up = true;
  await act(port);
  await pass(5000);
  assert.deepEqual(sidecar.markers(live(service)).map((one) => one.seq), [3, 4]);
  assert.equal(sidecar.hellos.at(-1).resume_seq, 3);
});

test("tickets: the site names the session; a person who is not signed in is told so; another login is another session", async () => {
  const S1 = "1".repeat(32);
  const S2 = "2".repeat(32);
  const asked = [];
  const give = (session, ticket) => (address, renew) => asked.push([address, renew]) && { status: 200, ticket, session, expires_ns: (now_ms + 300_000) * 1e6 };
  const nobody = () => ({ status: 401 });
  const browser = fakeBrowser({ managed: { ...POLICY, auth: "ticket", token: undefined, context_path: "/xnat" }, origins: GRANTED });
  browser.held.tickets = [nobody];
  const service = await background(browser);
  const port = await page(service);
  assert.equal(service.now.state, "not_connected");
  assert.match(service.now.headline, /not signed in/);
  browser.held.tickets = [give(S1, "t1")];
  await act(port, "login");
  await pass(2000);
  assert.deepEqual([live(service), sidecar.markers(S1).length, asked], [S1, 2, [[`${SITE}/xnat/tracemark/api/v1/tickets`, null]]]);
  assert.deepEqual([sidecar.hellos.at(-1).ticket, sidecar.hellos.at(-1).token], ["t1", undefined]);
  browser.held.tickets = [nobody, give(S2, "t2")];
  await act(port, "logout");
  await act(port, "login");
  await pass(3000);
  assert.equal(live(service), S2);
  assert.deepEqual([sidecar.markers(S1).map((one) => one.action), sidecar.markers(S2).map((one) => one.action)], [["login", "login", "logout", "logout"], ["login", "login"]]);
  assert.equal(service.now.state, "recording");
});

test("where the site gives no tickets at all, nobody is told to sign in", async () => {
  const browser = fakeBrowser({ managed: { ...POLICY, auth: "ticket", token: undefined }, origins: GRANTED });
  for (const [status, why] of [[404, /does not hand out tickets/], [503, /cannot ask the site/]]) {
    browser.held.tickets = [() => ({ status })];
    const service = await background(browser);
    await page(service);
    assert.match(service.now.headline, why);
    assert.match(service.now.todo, /tell whoever set up Tracemark/);
    assert.doesNotMatch(service.now.todo, /Sign in/);
    service.link.configure(null);
  }
});

test("what an earlier login left is delivered with its own ticket, renewed", async () => {
  const S1 = "1".repeat(32);
  const S2 = "2".repeat(32);
  const renewed = [];
  const browser = fakeBrowser({ managed: { ...POLICY, auth: "ticket" }, origins: GRANTED });
  const good = () => (now_ms + 300_000) * 1e6;
  browser.held.tickets = [() => ({ status: 200, ticket: "t1", session: S1, expires_ns: good() })];
  const service = await background(browser);
  const port = await page(service);
  sidecar.up = false;
  sidecar.drop();
  await act(port);
  await act(port, "logout");
  await pass(600_000);
  assert.equal(service.outbox.totals.count, 4);
  const renew = (_, older) => renewed.push(older) && { status: 200, ticket: "t1b", session: S1, expires_ns: good() };
  browser.held.tickets = [renew, () => ({ status: 200, ticket: "t2", session: S2, expires_ns: good() })];
  sidecar.up = true;
  await pass(60_000);
  assert.deepEqual(renewed, ["t1"]);
  assert.deepEqual(sidecar.markers(S1).map((one) => one.seq), [1, 2, 3, 4]);
  assert.equal(live(service), S2);
});
