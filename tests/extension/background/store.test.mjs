import assert from "node:assert/strict";
import { test } from "node:test";
import { IndexedStore } from "../../../extension/lib/store.js";

const NOTHING = { sessions: [], forget: [], put: [], drop: [], counters: {} };

/** As much of IndexedDB as a write needs; `ends` says whether a change comes to its end. */
function factory({ ends }) {
  const made = { opened: 0, closed: 0, ends };
  const store = { put: () => undefined, delete: () => undefined };
  const database = {
    close: () => (made.closed += 1),
    transaction: () => {
      const change = { objectStore: () => store };
      if (made.ends) queueMicrotask(() => change.oncomplete());
      return change;
    },
  };
  const open = () => {
    made.opened += 1;
    const request = { result: database };
    queueMicrotask(() => request.onsuccess());
    return request;
  };
  return { made, open };
}

test("a change that never ends, as on a full disk, is given up; the next one asks for the database anew", async (t) => {
  try {
    t.mock.timers.enable({ apis: ["setTimeout"] });
  } catch {
    t.mock.timers.enable(["setTimeout"]); // node 18
  }
  const disk = factory({ ends: false });
  const store = new IndexedStore(disk);
  const failed = assert.rejects(store.write(NOTHING), { name: "TimeoutError" });
  for (let turn = 0; turn < 10; turn += 1) await null;
  t.mock.timers.tick(5000);
  await failed;
  assert.equal(disk.made.closed, 1);
  disk.made.ends = true;
  await store.write(NOTHING);
  assert.equal(disk.made.opened, 2);
});
