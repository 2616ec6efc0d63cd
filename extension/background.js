// The extension's background: it is started for an event and ended when idle, so every listener is put up here, at once, and
// everything that must outlive it is stored. It builds the parts and passes them in; lib/service.js says what they do together.

import "./lib/browser_calls.js";
import { OffsetEstimator, resolutionOf } from "./lib/clock.js";
import { Outbox } from "./lib/outbox.js";
import { Service } from "./lib/service.js";
import { IndexedStore } from "./lib/store.js";

const { browser } = globalThis.tracemark;

const service = new Service({
  browser,
  outbox: new Outbox(new IndexedStore(globalThis.indexedDB), Date.now),
  estimator: new OffsetEstimator(resolutionOf(() => performance.now())),
  dial: (url) => new WebSocket(url),
  now_ms: () => performance.timeOrigin + performance.now(),
  wall_ms: Date.now,
  random: Math.random,
  randomBytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  loadJson: async (name) => (await fetch(browser.url(name))).json(),
  // An ending background and a starting one may overlap: only one works at a time, the other waits here.
  alone: () => new Promise((resolve) => navigator.locks.request("tracemark", () => new Promise(() => resolve()))),
});

browser.onConnect((port) => service.connected(port));
browser.onMessage((message, sender) => service.asked(message, sender));
browser.onInstalled(() => service.installed());
browser.onStartup(() => service.wake());
browser.onAlarm((name) => service.alarm(name));
browser.onStored((changes, area) => service.stored(changes, area));
browser.onPermissions(() => service.permissionsChanged());
browser.onTabClosed((tabId) => service.tabClosed(tabId));
service.watchFiles();
service.start();
