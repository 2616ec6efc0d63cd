import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Outbox } from "../../../extension/lib/outbox.js";
import { MemoryStore } from "./support/fakes.mjs";

const S = "a".repeat(32);
const items = (count, from = 0) => Array.from({ length: count }, (_, index) => ({ kind: "marker", fields: { action_id: `id${from + index}`, phase: "begin" } }));
const seqs = (outbox, session = S) => outbox.entries(session).map((entry) => entry.seq);
let store;
let now_ms;
let outbox;
async function open(bounds) {
  const made = new Outbox(store, () => now_ms, { count: 100, bytes: 1e6, age_ms: 1000, ...bounds });
  await made.load();
  return made;
}
beforeEach(async () => {
  store = new MemoryStore();
  now_ms = 0;
  outbox = await open();
  await outbox.begin(S, 0);
});

test("numbers go on without a hole, also in the next background", async () => {
  await Promise.all([outbox.put(S, items(2)), outbox.put(S, items(1, 2))]);
  const next = await open();
  await next.put(S, items(1, 3));
  assert.deepEqual(next.entries(S).map((entry) => [entry.seq, entry.fields.action_id]), [[1, "id0"], [2, "id1"], [3, "id2"], [4, "id3"]]);
});

test("an acknowledgement removes what it covers, for good; the numbers are not used again", async () => {
  await outbox.put(S, items(3));
  await outbox.acknowledge(S, 2);
  assert.deepEqual(outbox.place(S), { acked: 2, resume_seq: 3, welcomed: false });
  await outbox.acknowledge(S, 3);
  const next = await open();
  assert.equal(next.totals.count, 0);
  await next.put(S, items(1));
  assert.deepEqual(seqs(next), [4]);
});

test("past its bounds the oldest make room and are counted; the hello names the lowest that is left", async () => {
  const small = await open({ count: 3 });
  assert.equal((await small.put(S, items(5))).dropped, 0);
  const { dropped } = await small.put(S, items(2, 5));
  assert.equal(dropped, 4);
  assert.deepEqual(seqs(small), [5, 6, 7]);
  assert.equal(small.place(S).resume_seq, 5);
  assert.equal(small.totals.dropped_by.count, 4);
  assert.equal((await open()).totals.dropped, 4, "the count survives the background");
});

test("bounded by bytes and by age, too", async () => {
  const small = await open({ bytes: 500 });
  await small.put(S, items(3));
  await small.put(S, items(3, 3));
  assert.ok(small.totals.bytes <= 500);
  assert.ok(small.totals.dropped_by.bytes > 0);
  now_ms = 5000;
  const left = small.totals.count;
  assert.equal(await small.expire(), left);
  assert.equal(small.totals.dropped_by.age, left);
  assert.deepEqual((await open()).entries(S), []);
});

test("on a full disk the oldest make room; when that does not help the new ones are counted as lost", async () => {
  await outbox.put(S, items(10));
  store.full = true;
  const { kept } = await outbox.put(S, items(2, 10));
  assert.equal(kept, false);
  assert.equal(outbox.totals.dropped_by.full, 4);
  store.full = false;
  assert.equal((await outbox.put(S, items(1, 12))).kept, true);
  assert.deepEqual(seqs(outbox).slice(-1), [13], "a hole in the numbers stands for what was lost");
});

test("what a full disk took after all, once its number was done, is tidied up and not waited for", async () => {
  await outbox.put(S, items(3));
  await outbox.acknowledge(S, 2);
  await store.write({ sessions: [], forget: [], put: [{ session: S, seq: 1, put_ms: 0, bytes: 1, kind: "marker", fields: {} }], drop: [], counters: store.counters });
  const next = await open();
  assert.deepEqual([seqs(next), store.entries.size], [[3], 1]);
});

test("a session of which everything was dropped waits until the sidecar was told so, and is forgotten then", async () => {
  const [later, latest] = ["b".repeat(32), "c".repeat(32)];
  await outbox.put(S, items(3));
  now_ms = 5000;
  assert.equal(await outbox.expire(), 3);
  await outbox.begin(later, now_ms);
  const next = await open();
  assert.deepEqual([next.waiting(), next.totals.count, next.place(S).resume_seq], [[S], 0, 4]);
  await next.welcomed(S, 3);
  assert.deepEqual(next.waiting(), []);
  await next.begin(latest, now_ms);
  assert.equal(next.has(S), false);
});

test("told is told, also by a sidecar that takes no notice; what a person deleted is no loss to be told", async () => {
  await outbox.put(S, items(3));
  now_ms = 5000;
  await outbox.expire();
  await outbox.welcomed(S, 0);
  assert.deepEqual(outbox.waiting(), []);
  await outbox.put(S, items(1));
  await outbox.clear();
  assert.deepEqual([outbox.waiting(), (await open()).waiting()], [[], []]);
});

test("of sessions that lost everything only the last hundred are kept to be told", async () => {
  for (let number = 0; number < 120; number += 1) {
    const session = String(number).padStart(32, "0");
    await outbox.begin(session, number);
    await outbox.put(session, items(1));
    now_ms += 2000;
    await outbox.expire();
  }
  await outbox.begin(S, 1e6);
  assert.equal(outbox.waiting().length, 100);
  assert.equal(outbox.waiting()[0], "20".padStart(32, "0"));
});

test("deleting leaves nothing on the disk and is not counted as a loss", async () => {
  await outbox.put(S, items(3));
  assert.equal(await outbox.clear(), 3);
  assert.deepEqual([store.entries.size, outbox.totals.dropped, outbox.totals.deleted], [0, 0, 3]);
  assert.equal(outbox.place(S).resume_seq, 4);
});

test("a new session forgets delivered ones and keeps the others, the oldest first in line", async () => {
  await outbox.put(S, items(1));
  await outbox.begin("b".repeat(32), 10);
  await outbox.put("b".repeat(32), items(1));
  await outbox.begin("c".repeat(32), 20);
  assert.deepEqual(outbox.waiting(), [S, "b".repeat(32)]);
  await outbox.acknowledge(S, 1);
  await outbox.begin("d".repeat(32), 30);
  assert.equal(outbox.has(S), false);
  assert.deepEqual([...store.sessions.keys()].map((name) => name[0]).sort(), ["b", "d"]);
});

test("a session that the sidecar knows longer than we do is numbered anew behind it", async () => {
  await outbox.put(S, items(2));
  await outbox.welcomed(S, 40);
  assert.deepEqual(seqs(outbox), [41, 42]);
  assert.deepEqual((await open()).entries(S).map((entry) => entry.seq), [41, 42]);
  await outbox.welcomed(S, 41);
  assert.deepEqual(seqs(outbox), [42], "only the first time: now it is an acknowledgement");
});

test("what was recorded before the sidecar named the session continues that one's numbers", async () => {
  const named = "e".repeat(32);
  await outbox.begin(named, 0);
  await outbox.put(named, items(2));
  await outbox.begin(S, 1);
  await outbox.put(S, items(2, 2));
  await Promise.all([outbox.adopt(S, named), outbox.put(S, items(1, 4))]);
  assert.deepEqual(outbox.entries(named).map((entry) => [entry.seq, entry.fields.action_id]), [[1, "id0"], [2, "id1"], [3, "id2"], [4, "id3"], [5, "id4"]]);
  assert.deepEqual((await open()).entries(named).map((entry) => entry.seq), [1, 2, 3, 4, 5]);
  assert.equal((await open()).has(S), false);
});

test("it knows what it holds and what it delivered", async () => {
  await outbox.put(S, items(1));
  assert.equal(outbox.holds(S, { action_id: "id0", phase: "begin" }), true);
  assert.equal(outbox.holds(S, { action_id: "id0", phase: "end" }), false);
  await outbox.acknowledge(S, 1);
  assert.equal((await open()).holds(S, { action_id: "id0", phase: "begin" }), true, "also what was just delivered, and after a restart");
});
