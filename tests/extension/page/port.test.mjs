import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const { Port } = load();

class Background {
  constructor() {
    this.ports = [];
    this.got = [];
    this.alive = true;
  }
  connect() {
    if (!this.alive) throw new Error("Extension context invalidated.");
    const hear = (listeners) => ({ addListener: (listener) => listeners.push(listener) });
    const port = { messages: [], gone: [], dead: false };
    port.onMessage = hear(port.messages);
    port.onDisconnect = hear(port.gone);
    port.postMessage = (message) => {
      if (port.dead) throw new Error("Attempting to use a disconnected port object");
      this.got.push(JSON.parse(JSON.stringify(message)));
    };
    port.tell = (message) => port.messages.forEach((listener) => listener(message));
    this.ports.push(port);
    return port;
  }
  dies() {
    const port = this.ports.at(-1);
    port.dead = true;
    port.gone.forEach((listener) => listener());
  }
}

function make() {
  const background = new Background();
  const timers = [];
  const states = [];
  const gone = [];
  const port = new Port({
    connect: () => background.connect(),
    heard: (state) => states.push(state),
    gone: () => gone.push(true),
    clock: () => ({ wall_ms: 1, mono_ms: 2 }),
    later: (work, ms) => timers.push({ work, ms }),
  });
  const pass = () => timers.splice(0).forEach(({ work }) => work());
  return { background, port, timers, states, gone, pass };
}
const items = (got) => got.filter(({ type }) => type === "items");

test("hello first; markers in batches when they are asked for, at once at 200", () => {
  const { background, port, timers } = make();
  port.open(true);
  assert.deepEqual(background.got, [{ type: "hello", top: true }]);
  port.add({ n: 1 });
  port.add({ n: 2 });
  assert.deepEqual([items(background.got).length, timers.length], [0, 0]);
  port.flush();
  port.flush();
  const [batch] = items(background.got);
  assert.deepEqual(batch, { type: "items", items: [{ n: 1 }, { n: 2 }], clock: { wall_ms: 1, mono_ms: 2 }, counts: { dropped: 0, overloads: 0, bad_rules: 0, errors: 0 }, batch: 1 });
  for (let n = 0; n < 200; n += 1) port.add({ n });
  assert.equal(items(background.got).length, 2);
});

test("what was not stored when the background died is sent again, what was stored is not", () => {
  const { background, port, timers, pass } = make();
  port.open(false);
  port.add({ n: 1 });
  port.flush();
  background.ports[0].tell({ type: "stored", batch: 1 });
  port.add({ n: 2 });
  port.flush();
  background.dies();
  port.add({ n: 3 });
  background.got.length = 0;
  assert.ok(timers.some(({ ms }) => ms === 300));
  pass();
  port.flush();
  assert.deepEqual(background.got.map(({ type, batch, again }) => [type, batch, again]), [["hello", undefined, undefined], ["items", 2, true], ["items", 3, undefined]]);
});

test("a background that cannot be reached is tried ever less often", () => {
  const { background, port, timers } = make();
  port.open(true);
  const pauses = [];
  for (let turn = 0; turn < 9; turn += 1) {
    background.dies();
    pauses.push(timers.at(-1).ms);
    timers.splice(0).forEach(({ work }) => work());
  }
  assert.deepEqual(pauses, [300, 600, 1200, 2400, 4800, 9600, 19200, 30000, 30000]);
});

test("an extension that is gone: told once it is tried, and nothing thrown", () => {
  const { background, port, gone } = make();
  port.open(true);
  background.alive = false;
  background.dies();
  port.add({ n: 1 });
  port.flush();
  assert.ok(gone.length > 0);
});

test("bounded: what nobody takes is dropped and counted", () => {
  const { background, port } = make();
  port.open(true);
  for (let n = 0; n < 2500; n += 1) port.add({ n });
  assert.equal(port.counts.dropped, 500);
  background.ports[0].tell({ type: "stored", batch: 1 });
  port.add({ n: -1 });
  port.flush();
  assert.equal(items(background.got).at(-1).counts.dropped, 500);
});
