import assert from "node:assert/strict";
import { test } from "node:test";
import { OffsetEstimator, forPage, resolutionOf } from "../../../extension/lib/clock.js";

/** Numbers that look like chance and are the same every time. */
function chance(seed = 1) {
  let state = seed;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}
const quantile = (values, part) => [...values].sort((a, b) => a - b)[Math.floor(part * (values.length - 1))];

/** A browser whose clock is off and runs at another speed; every ping's ways take their own time. */
function simulate({ off_ms, drift, jitter_ms, resolution_ms = 0.1, minutes = 60, seed }) {
  const random = chance(seed);
  const estimator = new OffsetEstimator(resolution_ms);
  const ours = (sidecar_ms) => Math.floor((sidecar_ms * (1 + drift) - off_ms) / resolution_ms) * resolution_ms;
  const errors = [];
  let broken = 0;
  for (let at_ms = 1e6; at_ms < 1e6 + minutes * 60_000; at_ms += 20_000) {
    for (let ping = 0; ping < (at_ms === 1e6 ? 8 : 3); ping += 1) {
      const sent = at_ms + ping * 150;
      const arrived = sent + 1 + random() * jitter_ms;
      const left = arrived + 0.2;
      const back = left + 1 + random() * jitter_ms;
      estimator.add({ sent_ms: ours(sent), t1_ms: arrived, t2_ms: left, received_ms: ours(back) });
    }
    const event_ms = at_ms + 19_000;
    const { offset_ms, error_ms } = estimator.at(ours(event_ms));
    const error = Math.abs(ours(event_ms) + offset_ms - event_ms);
    errors.push(error);
    if (error > error_ms + drift * 600_000) broken += 1;
  }
  return { median: quantile(errors, 0.5), p99: quantile(errors, 0.99), broken, steps: estimator.steps };
}

for (const off_ms of [-5000, 0, 5000]) {
  for (const resolution_ms of [0.1, 1]) {
    test(`clock off by ${off_ms} ms, 100 ppm drift, 100 ms jitter, ${resolution_ms} ms steps: within 10 ms at the median and 50 ms at p99`, () => {
      const all = [1, 2, 3, 4, 5].map((seed) => simulate({ off_ms, drift: 1e-4, jitter_ms: 100, resolution_ms, seed }));
      for (const { median, p99 } of all) {
        assert.ok(median < 10, `median ${median}`);
        assert.ok(p99 < 50, `p99 ${p99}`);
      }
    });
  }
}

test("the error bound holds, also where the clock counts whole milliseconds", () => {
  for (const resolution_ms of [0.1, 1]) assert.equal(simulate({ off_ms: 700, drift: 0, jitter_ms: 20, resolution_ms, seed: 9 }).broken, 0);
});

test("no estimate before the first exchange, and the shortest way counts", () => {
  const estimator = new OffsetEstimator();
  assert.equal(estimator.at(0), null);
  estimator.add({ sent_ms: 0, received_ms: 40, t1_ms: 1030, t2_ms: 1030 });
  estimator.add({ sent_ms: 100, received_ms: 102, t1_ms: 1101, t2_ms: 1101 });
  assert.deepEqual(estimator.at(102), { offset_ms: 1000, error_ms: 1 });
});

test("an exchange during which a clock was set is left out; one that contradicts the others means that the sidecar's was set", () => {
  const estimator = new OffsetEstimator();
  assert.equal(estimator.add({ sent_ms: 10, received_ms: 5, t1_ms: 100, t2_ms: 100 }), false);
  assert.equal(estimator.add({ sent_ms: 10, received_ms: 12, t1_ms: 100, t2_ms: 99 }), false);
  estimator.add({ sent_ms: 0, received_ms: 2, t1_ms: 1001, t2_ms: 1001 });
  estimator.add({ sent_ms: 10, received_ms: 30, t1_ms: 6020, t2_ms: 6020 });
  assert.equal(estimator.steps, 1);
  assert.equal(estimator.at(30).offset_ms, 6000);
});

test("a page whose timeline is apart from ours gets its own offset; a millisecond of rounding only widens its bound", () => {
  const offset = { offset_ms: 100, error_ms: 1 };
  assert.deepEqual(forPage(offset, 0.75, -0.25), { offset_ms: 100, error_ms: 3 });
  assert.deepEqual(forPage(offset, 0.4, 0.4), offset, "the same timeline");
  assert.deepEqual(forPage(offset, 5000, 0), { offset_ms: 5100, error_ms: 2 });
  assert.equal(forPage(null, 5000, 0), null);
});

test("the resolution of a clock is the step that it makes", () => {
  let calls = 0;
  assert.equal(resolutionOf(() => Math.floor(calls++ / 100) * 0.5), 0.5);
  assert.equal(resolutionOf(() => 7), 100);
});
