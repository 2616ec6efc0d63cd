// content.js with a page that is no browser: what it listens to, and that it leaves the page alone whatever happens.
import assert from "node:assert/strict";
import { test } from "node:test";
import { webcrypto } from "node:crypto";
import { parse } from "./dom.mjs";
import { loadPage, readText, rules } from "./load.mjs";

class Target {
  constructor() {
    this.listeners = [];
  }
  addEventListener(type, listener, options) {
    this.listeners.push({ type, listener, options });
  }
  removeEventListener(type, listener) {
    this.listeners = this.listeners.filter((one) => one.type !== type || one.listener !== listener);
  }
  fire(type, more = {}) {
    for (const one of this.listeners.filter((each) => each.type === type)) one.listener(Object.defineProperties({ type, isTrusted: true, timeStamp: 1000, detail: 1, button: 0 }, Object.getOwnPropertyDescriptors(more)));
  }
}

function page({ fixture = "fork.html", path = "/xnat/VIEWER", recording = true, throwing = false, navigation = [] } = {}) {
  const root = parse(readText(`fixtures/${fixture}`));
  const document = Object.assign(new Target(), {
    readyState: "loading", hidden: false, referrer: "",
    querySelector: (selector) => {
      if (throwing) throw new Error("broken");
      return root.querySelector(selector);
    },
    querySelectorAll: (selector) => root.querySelectorAll(selector),
    createDocumentFragment: () => parse(""),
  }); // prettier-ignore
  const window = new Target();
  const said = [];
  const hear = [];
  const timers = [];
  const world = { now: 900, observers: 0, frames: 0, entries: [] };
  const state = { type: "state", recording, context_path: "/xnat", rules: rules(), open: [] };
  const browser = {
    connect: () => {
      if (world.gone) throw new Error("Extension context invalidated.");
      return { postMessage: (message) => said.push(message), onMessage: { addListener: (one) => hear.push(one) }, onDisconnect: { addListener: (one) => (world.lost = one) } };
    },
  };
  const globals = {
    browser, document, window, crypto: webcrypto, location: { origin: "https://x.test", pathname: path },
    addEventListener: window.addEventListener.bind(window), removeEventListener: window.removeEventListener.bind(window),
    performance: { now: () => world.now, timeOrigin: 5000, getEntriesByType: () => navigation },
    PerformanceObserver: class {
      observe() { world.observers += 1; }
      disconnect() { world.observers -= 1; }
      takeRecords() { return world.entries.splice(0); }
    },
    setTimeout: (work, ms) => timers[timers.push({ work, ms }) - 1], clearTimeout: (timer) => timers.includes(timer) && timers.splice(timers.indexOf(timer), 1), requestAnimationFrame: () => (world.frames += 1),
  }; // prettier-ignore
  window.parent = window;
  Object.assign(globals, { self: window, top: window });
  const tell = (message) => hear.forEach((one) => one({ ...state, ...message }));
  const before = new Set(["tracemark"]);
  const own = loadPage(globals);
  if (recording !== null) tell({});
  const pass = () => timers.splice(0).forEach(({ work }) => work());
  return { root, document, window, said, tell, timers, pass, world, own, before, target: (selector) => root.querySelector(selector) };
}
const markers = (said) => said.filter(({ type }) => type === "items").flatMap(({ items }) => items);

test("while nothing is recorded: one listener, no observer, no timer, no marker", () => {
  const { document, window, world, timers, said } = page({ recording: false });
  assert.deepEqual(window.listeners.map(({ type }) => type), ["pageshow"]);
  assert.deepEqual([document.listeners.length, world.observers, timers.length], [0, 0, 0]);
  assert.deepEqual(said.map(({ type }) => type), ["hello"]);
});

test("every listener is passive and captures; all are gone when recording stops", () => {
  const { document, window, tell, world } = page();
  assert.ok(document.listeners.length > 15);
  for (const { type, options } of document.listeners) assert.deepEqual({ ...options }, { capture: true, passive: true }, type);
  assert.equal(world.observers, 1);
  tell({ recording: false });
  assert.deepEqual([document.listeners.length, window.listeners.length, world.observers], [0, 1, 0]);
});

test("a native wheel is one scroll; a marker has the closed list of fields; one that a script made is nothing", () => {
  const { document, said, pass, target, world } = page();
  document.fire("wheel", { target: target("#canvas"), isTrusted: false, timeStamp: 950 });
  document.fire("wheel", { target: target("#canvas") });
  document.fire("wheel", { target: target("#canvas"), timeStamp: 1040 });
  world.now = 3000;
  pass();
  pass();
  const [begin, end] = markers(said).filter(({ action }) => action === "scroll");
  assert.deepEqual(Object.keys(begin), ["action_id", "action", "phase", "wall_ms", "mono_ms", "attrs"]);
  assert.match(begin.action_id, /^[0-9a-f]{16}$/);
  assert.deepEqual([begin.wall_ms, end.wall_ms, end.mono_ms, end.attrs.ticks], [6000, 6040, 1040, 2]);
});

test("a page that is loaded costs the page one message and one timer at a time; to leave it costs one message and no timer", () => {
  const navigation = { type: "navigate", redirectCount: 0, responseStatus: 200, loadEventEnd: 0 };
  const { window, document, said, timers, pass, world, target, root } = page({ fixture: "session.html", path: "/xnat/data/experiments/E", navigation: [navigation] });
  root.querySelector("#search_tabs")?.setAttribute("id", "");
  navigation.loadEventEnd = 300;
  window.fire("load", { timeStamp: 300 });
  assert.equal(timers.length, 1);
  world.now = 1900;
  pass();
  assert.deepEqual(said.map(({ type }) => type), ["hello", "items"]);
  assert.deepEqual(markers(said).map(({ phase, wall_ms }) => [phase, wall_ms]), [["begin", 5000], ["end", 5300]]);
  document.fire("mousedown", { target: target("#view"), timeStamp: 2000 });
  window.fire("pagehide", { timeStamp: 2010 });
  document.hidden = true;
  document.fire("visibilitychange");
  assert.deepEqual([said.length, timers.length], [3, 0]);
  assert.deepEqual(markers(said).slice(2).map(({ action, phase }) => [action, phase]), [["open_viewer", "begin"]]);
});

test("a request long after the page was complete is no part of its load, even when both are looked at at once", () => {
  const navigation = { type: "navigate", redirectCount: 0, responseStatus: 200, loadEventEnd: 300 };
  const { pass, said, world, root } = page({ fixture: "session.html", path: "/xnat/data/experiments/E", navigation: [navigation] });
  root.querySelector("#search_tabs")?.setAttribute("id", "");
  const entry = { encodedBodySize: 10, transferSize: 20, responseStatus: 200 };
  world.entries.push({ ...entry, name: "https://x.test/xnat/style.css", startTime: 100, responseEnd: 350 });
  world.entries.push({ ...entry, name: "https://x.test/xnat/data/projects", startTime: 1400, responseEnd: 1450 });
  world.now = 1900;
  pass();
  assert.deepEqual(markers(said).map(({ action, phase, wall_ms }) => [action, phase, wall_ms]), [["page_load", "begin", 5000], ["page_load", "end", 5350]]);
});

test("a click that nothing comes of plans no work; a key that is held is one note", () => {
  const { document, timers, pass, target, world, said } = page({ path: "/xnat/elsewhere" });
  pass();
  assert.equal(timers.length, 0);
  document.fire("click", { target: target("#canvas"), timeStamp: 1500 });
  document.fire("keydown", { key: "Enter", target: target("#canvas"), timeStamp: 1600 });
  assert.equal(timers.length, 0);
  for (let t = 2000; t < 2500; t += 50) document.fire("keydown", { key: "ArrowDown", target: target("#canvas"), timeStamp: t });
  assert.equal(timers.length, 1);
  for (world.now = 3000; world.now < 6000; world.now += 1500) pass();
  assert.equal(markers(said).find(({ action, phase }) => action === "scroll" && phase === "end").attrs.ticks, 10);
});

test("typing is not looked at: no key but those of the rules is noted", () => {
  const { document, timers, target } = page();
  const planned = timers.length;
  const secret = { get key() { return "x"; }, get data() { throw new Error("read"); }, target: target("#slider") }; // prettier-ignore
  document.fire("keydown", secret);
  document.fire("input", { get data() { throw new Error("read"); }, target: { type: "text" } }); // prettier-ignore
  assert.equal(timers.length, planned);
});

test("an error of ours stays ours: recording ends here, the page hears nothing, the background is told", () => {
  const { document, window, said, world, target, pass } = page({ throwing: true, fixture: "session.html", path: "/xnat/data/experiments/E" });
  assert.doesNotThrow(() => document.fire("keydown", { key: "PageDown", target: target("#view") }));
  assert.deepEqual([document.listeners.length, window.listeners.length, world.observers], [0, 1, 0]);
  assert.doesNotThrow(() => window.fire("pageshow", { persisted: true }));
  pass();
  assert.equal(markers(said).filter(({ phase }) => phase === "end").length, 0);
});

test("the extension is gone (updated, removed): silence for good, nothing is left behind", () => {
  const { document, window, world, target, pass } = page();
  world.gone = true;
  world.lost();
  document.fire("wheel", { target: target("#canvas") });
  world.now = 1400;
  for (let turn = 0; turn < 4; turn += 1) pass();
  assert.deepEqual([document.listeners.length, window.listeners.length, world.observers], [0, 0, 0]);
});

test("resumed on a page that was there already: no page load is invented", () => {
  const { said, tell, pass, world } = page({ recording: false, fixture: "session.html", path: "/xnat/data/experiments/E" });
  tell({ recording: true });
  world.now = 5000;
  pass();
  pass();
  assert.deepEqual(markers(said), []);
});

test("a page that was loaded again and is not given any more is a logout, whatever the referrer is", () => {
  const reloaded = { type: "reload", redirectCount: 1, responseStatus: 200, loadEventEnd: 0 };
  const told = [reloaded, { ...reloaded, redirectCount: 0 }].map((one) => {
    const { said, pass, world } = page({ fixture: "session.html", path: "/xnat/app/template/Login.vm", navigation: [one] });
    world.now = 5000;
    for (let turn = 0; turn < 3; turn += 1) pass();
    return markers(said).filter(({ action }) => action === "logout").map(({ phase }) => phase);
  });
  assert.deepEqual([told[0][0], told[1].length], ["begin", 0]);
});

test("a flood of what comes often is not listened to for a while, and that is counted", () => {
  const { document, said, pass, target, world } = page();
  const often = () => document.listeners.filter(({ type }) => type === "wheel").length;
  for (let turn = 0; turn < 8; turn += 1) {
    for (let count = 0; count < 3000; count += 1) document.fire("wheel", { target: target("#canvas"), timeStamp: world.now + count / 10 });
    world.now += 1000;
    pass();
  }
  assert.ok(said.some(({ counts }) => counts?.overloads > 0));
  assert.ok(often() <= 1);
});

test("injected twice it runs once", () => {
  const { own, said } = page();
  assert.equal(own.page, true);
  assert.equal(said.filter(({ type }) => type === "hello").length, 1);
});
