// How downloads are seen to end: by the downloads API, or by the site's answers. Without both nothing is made up.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { answerOutcome, downloadAge, fileTest } from "../../../extension/lib/downloads.js";

const CATALOGUE = JSON.parse(readFileSync(new URL("../../../sidecar/model/catalogue.json", import.meta.url), "utf8"));
const SITE = "https://xnat.example.org";

test("files are told from pages by the catalogue's own rules", () => {
  const isFile = fileTest({ actions: CATALOGUE.actions }, [SITE], "/xnat");
  const asked = (path, method = "GET", site = SITE) => isFile({ url: `${site}/xnat${path}`, method });
  assert.ok(asked("/data/experiments/E/scans/2/files?format=zip&structure=improved"));
  assert.ok(asked("/xapi/archive/download/123/zip"));
  assert.ok(asked("/app/action/CSVAction", "POST"));
  assert.ok(!asked("/app/action/CSVAction"));
  assert.ok(!asked("/data/experiments/E"));
  assert.ok(!asked("/data/experiments/E/scans/2/files?format=json"));
  assert.ok(!asked("/xapi/archive/download/123/zip", "GET", "https://elsewhere.example.org"));
});

test("an answer is over with its bytes where the server says how many, and an error is no download", () => {
  const outcome = (statusCode, ...responseHeaders) => answerOutcome({ statusCode, responseHeaders }, false);
  assert.deepEqual(outcome(200, { name: "Content-Length", value: "4096" }), { state: "complete", evidence: "requests", bytes: 4096 });
  assert.deepEqual(outcome(200), { state: "complete", evidence: "requests", bytes: undefined });
  assert.deepEqual(outcome(200, { name: "content-length", value: "many" }), { state: "complete", evidence: "requests", bytes: undefined });
  assert.deepEqual(outcome(500), { state: "interrupted" });
  assert.deepEqual(answerOutcome({ statusCode: 200 }, true), { state: "interrupted" });
});

test("the browser's own time of the end counts, if it is a likely one", () => {
  const at = Date.parse("2026-03-04T10:00:00.000Z");
  assert.equal(downloadAge({ endTime: "2026-03-04T09:59:59.750Z" }, at), 250);
  assert.equal(downloadAge({ endTime: "2026-03-04T10:00:01.000Z" }, at), 0);
  assert.equal(downloadAge({ endTime: "2026-03-03T10:00:00.000Z" }, at), 0);
  assert.equal(downloadAge({}, at), 0);
  assert.equal(downloadAge(undefined, at), 0);
});
