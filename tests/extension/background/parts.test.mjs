import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { rulesFor } from "../../../extension/lib/catalogue.js";
import { SETTINGS, checked, resolve } from "../../../extension/lib/config.js";
import { consentOf, isPaused, pauseFor } from "../../../extension/lib/consent.js";
import { AwaitedDownloads, downloadBytes, downloadOrigin } from "../../../extension/lib/downloads.js";
import { OpenActions } from "../../../extension/lib/open_actions.js";
import { isSampled, newSession, stillValid } from "../../../extension/lib/sessions.js";
import { isRegistered, matchPatterns, originPatterns, registration, siteOf } from "../../../extension/lib/sites.js";
import { Skew, ownLead } from "../../../extension/lib/timelines.js";
import { completed, markerFields, pageLead } from "../../../extension/lib/wire_items.js";

const schema = JSON.parse(readFileSync(new URL("../../../extension/managed_schema.json", import.meta.url), "utf8"));
const names = new Set(["scroll", "download", "open_viewer"]);
const item = { action_id: "00f067aa0ba902b7", action: "scroll", phase: "begin", wall_ms: 1763817600000.25, mono_ms: 5.5, attrs: {} };
const HOUR = 3600_000;

test("the policy's schema has the settings and no others, and what it allows is allowed", () => {
  assert.deepEqual(Object.keys(schema.properties).sort(), SETTINGS.map((setting) => setting.name).sort());
  for (const setting of SETTINGS) for (const word of schema.properties[setting.name].enum ?? []) assert.equal(setting.check(word), word);
});

test("policy before package before person; a person cannot set what is not theirs", () => {
  const { config, locked, faults } = resolve({
    managed: { sites: ["https://xnat.example.org"], consent: "given" },
    packaged: { sites: ["https://other.example.org"], context_path: "/xnat/" },
    personal: { sites: ["https://mine.example.org"], token: "mine", sampling: 0, consent: "refused", rules: "{}" },
  });
  assert.deepEqual([config.sites, config.context_path, config.token, config.sampling, config.consent], [["https://xnat.example.org"], "/xnat", "mine", 1, "given"]);
  assert.deepEqual([locked.sort(), faults], [["consent", "context_path", "recorder", "sites"], []]);
});

const BAD = {
  sidecar_url: ["http://sidecar", "sidecar", "wss://u:p@h/markers", 5, ""],
  sites: ["https://xnat.example.org", ["xnat.example.org"], ["https://xnat.example.org/xnat"], ["ftp://h"], [7], Array(30).fill("https://h")],
  context_path: ["xnat", "/a b", "/a?b", 3],
  auth: ["cookie", 1],
  token: [5, "x".repeat(5000)],
  rating: ["yes", 1],
  traceparent: ["yes", 1],
  recorder: ["yes", 1],
  consent: ["maybe"],
  sampling: [-0.1, 1.1, "1", NaN],
  rules: ["{", "[]", { scroll: 5 }, { scroll: { dom: null } }, 5],
};
for (const [name, values] of Object.entries(BAD)) {
  test(`a bad ${name} in the policy is left out and named; the other settings stand`, () => {
    for (const value of values) {
      const { config, faults } = resolve({ managed: { [name]: value, ...(name === "token" ? { auth: "token" } : { token: "t" }) } });
      assert.equal(faults.length, 1, JSON.stringify(value));
      assert.match(faults[0].text, new RegExp(`^${name} in your organisation's policy (must|is)`));
      assert.deepEqual(config[name], SETTINGS.find((setting) => setting.name === name).fallback);
      if (name !== "token") assert.equal(config.token, "t");
    }
  });
}

test("an unknown setting of a policy is named", () => {
  assert.match(resolve({ managed: { sidecarUrl: "x" } }).faults[0].text, /sidecarUrl .* is no setting/);
});

test("what a person types is checked as a policy is; addresses come out complete", () => {
  assert.deepEqual(checked("sidecar_url", "ws://127.0.0.1:8051"), { value: "ws://127.0.0.1:8051/markers" });
  assert.deepEqual(checked("sites", ["https://XNAT.example.org:443/"]), { value: ["https://xnat.example.org"] });
  assert.match(checked("sidecar_url", "nonsense").fault, /^must be/);
  assert.match(checked("consent", "given").fault, /no setting/);
});

test("overrides replace an action's rules, switch it off, and unknown actions are named", () => {
  const catalogue = { version: 1, actions: [{ name: "scroll", colour: "#000", dom: { begin: [] } }, { name: "play", dom: {} }, { name: "log_only" }] };
  const { rules, unknown } = rulesFor(catalogue, { scroll: { dom: { begin: ["x"] } }, play: null, dance: null });
  assert.deepEqual(rules, { version: 1, actions: [{ name: "scroll", dom: { begin: ["x"] } }] });
  assert.deepEqual(unknown, ["dance"]);
});

test("the organisation's decision counts before the person's", () => {
  assert.deepEqual(consentOf({ consent: "ask" }, undefined), { decision: "undecided", by: null });
  assert.deepEqual(consentOf({ consent: "ask" }, { decision: "given" }), { decision: "given", by: "person" });
  assert.deepEqual(consentOf({ consent: "refused" }, { decision: "given" }), { decision: "refused", by: "policy" });
});

test("pauses: a quarter of an hour, until midnight, until the person resumes", () => {
  const now = new Date(2026, 2, 28, 22, 30);
  assert.equal(pauseFor("minutes", now).until_ms - now.getTime(), 900_000);
  assert.equal(new Date(pauseFor("today", now).until_ms).toString(), new Date(2026, 2, 29, 0, 0).toString());
  assert.equal(isPaused(pauseFor("resume", now), Number.MAX_SAFE_INTEGER), true);
  assert.equal(isPaused({ until_ms: 10 }, 10), false);
  assert.equal(isPaused(null, 10), false);
});

test("a session is 32 hex digits, lasts four hours, and is in the sample or not for all of its life", () => {
  const bytes = (count) => new Uint8Array(count).fill(255);
  const session = newSession(1000, bytes);
  assert.match(session.id, /^[0-9a-f]{32}$/);
  assert.deepEqual([isSampled(session, 0), isSampled(session, 0.5), isSampled(session, 1)], [false, false, true]);
  assert.deepEqual([stillValid(session, 1000 + 3.9 * HOUR), stillValid(session, 1000 + 4 * HOUR), stillValid(null, 0)], [true, false, false]);
});

test("patterns have no port, because Firefox's cannot; the origin of a page is compared exactly", () => {
  const sites = ["https://xnat.example.org:8443", "https://xnat.example.org"];
  assert.deepEqual(originPatterns(sites), ["https://xnat.example.org/*"]);
  assert.deepEqual(matchPatterns(sites, "/xnat"), ["https://xnat.example.org/xnat/*"]);
  assert.equal(siteOf({ origin: "https://xnat.example.org:8443" }, sites), sites[0]);
  assert.equal(siteOf({ origin: "https://xnat.example.org:9000", url: "https://xnat.example.org/" }, sites), undefined);
  assert.equal(siteOf({ url: "about:blank", tab: { url: "https://xnat.example.org/x" } }, sites), sites[1]);
  assert.equal(siteOf({ origin: "null", url: "https://evil.example.org/" }, sites), undefined);
  assert.equal(siteOf(undefined, sites), undefined);
});

test("a registration is made again only when it changed", () => {
  const wanted = registration(["https://a.example.org"], "", ["content.js"]);
  assert.equal(isRegistered(wanted, [structuredClone(wanted)]), true);
  assert.equal(isRegistered(registration(["https://b.example.org"], "", ["content.js"]), [wanted]), false);
  assert.equal(isRegistered(wanted, []), false);
});

test("a marker carries the closed list and nothing else", () => {
  const canary = "Canary^Patient";
  const fields = markerFields(
    { ...item, title: canary, attrs: { bytes: 5.6, images: -1, ticks: NaN, evidence: canary, label: canary, first_image_ns: 7 }, url: canary },
    { names, now_ms: item.wall_ms },
  );
  assert.deepEqual(Object.keys(fields), ["action_id", "action", "phase", "wall_ns", "mono_ns", "offset_ns", "offset_error_ns", "attrs"]);
  assert.deepEqual(fields.attrs, { bytes: 6, first_image_ns: 7 });
  assert.ok(!JSON.stringify(fields).includes("Canary"));
});

test("what is no marker is left out", () => {
  const take = (more) => markerFields({ ...item, ...more }, { names, now_ms: 1763817600000 });
  assert.notEqual(take({}), null);
  for (const more of [{ action_id: "Doe^John" }, { action: "dance" }, { phase: "middle" }, { wall_ms: NaN }, { wall_ms: 5 }, { action_id: undefined }]) assert.equal(take(more), null);
  assert.equal(markerFields(null, { names, now_ms: 0 }), null);
});

test("times recorded without an offset get it when they are sent; those that have one keep it", () => {
  const offset = { offset_ms: 100, error_ms: 2 };
  const entry = { seq: 1, kind: "marker", fields: { ...markerFields(item, { names, now_ms: item.wall_ms }) }, lead_ms: 5000 };
  assert.deepEqual([completed(entry, offset, 0).fields.offset_ns, completed(entry, offset, 0).fields.offset_error_ns], [5_100_000_000, 3_000_000]);
  assert.equal(completed(entry, null, 0).fields.offset_ns, null);
  const had = { ...entry, fields: { ...entry.fields, offset_ns: 7 } };
  assert.equal(completed(had, offset, 0).fields.offset_ns, 7);
  const rating = { seq: 2, kind: "rating", fields: { time_ns: 1000, score: 3 }, lead_ms: 0 };
  assert.equal(completed(rating, offset, 0).fields.time_ns, 100_001_000);
});

test("how far a page's timeline is from the wall clock, in either way of telling it", () => {
  assert.equal(pageLead({ wall_ms: 1763817600005, mono_ms: 1763817600000 }), 5);
  assert.equal(pageLead({ wall_ms: 1763817600005, mono_ms: 1000, origin_ms: 1763817599000 }), 5);
  assert.equal(pageLead({ wall_ms: 1763817600005, mono_ms: 1000 }), undefined);
  assert.equal(pageLead(undefined), undefined);
});

test("an action ends once, in whatever document; a viewer's window may end what another tab began", () => {
  const open = new OpenActions();
  const begin = (action_id, action) => ({ action_id, action, phase: "begin", wall_ms: 1000 });
  assert.equal(open.note(1, begin("a", "scroll")), true);
  assert.equal(open.note(1, begin("a", "scroll")), false);
  open.note(1, begin("b", "open_viewer"));
  assert.deepEqual(open.of(1, undefined, 1000).map((one) => one.action_id), ["a", "b"]);
  assert.deepEqual(open.of(2, undefined, 1000).map((one) => one.action_id), ["b"]);
  assert.deepEqual(open.of(2, 1, 1000).map((one) => one.action_id), ["a", "b"]);
  assert.deepEqual(open.of(2, undefined, 1000 + 61_000), []);
  assert.equal(open.note(2, { action_id: "b", phase: "end" }), true);
  assert.equal(open.note(2, { action_id: "b", phase: "end" }), false);
  const next = new OpenActions(JSON.parse(JSON.stringify(open)));
  assert.equal(next.note(2, { action_id: "b", phase: "cancel" }), false, "the next background remembers");
  assert.deepEqual(next.boundTo(1).map((one) => one.action_id), ["a"]);
  assert.deepEqual(next.stale(1000 + HOUR + 1).map((one) => one.action_id), ["a"]);
});

test("a download ends the action that waited for it, whichever was told first", () => {
  const awaited = new AwaitedDownloads();
  awaited.awaitFor("a", 0);
  awaited.begins(5, 100);
  assert.equal(awaited.ends(5, {}), "a");
  awaited.begins(6, 200);
  awaited.awaitFor("b", 250);
  assert.equal(awaited.isFor("b"), true);
  assert.equal(awaited.ends(6, {}), "b");
  awaited.begins(7, 300);
  assert.equal(awaited.ends(7, { state: "complete" }), undefined);
  assert.deepEqual(awaited.awaitFor("c", 350), { state: "complete" });
  awaited.begins(8, 400);
  assert.equal(awaited.awaitFor("d", 10_000), undefined, "a download of long ago is not this one");
  assert.deepEqual(awaited.overdue(10_000 + HOUR + 1), ["d"]);
});

test("of a download only origin and size are read", () => {
  assert.equal(downloadOrigin({ url: "https://xnat.example.org/data/x?token=1" }), "https://xnat.example.org");
  assert.equal(downloadOrigin({ url: "blob:https://xnat.example.org/uuid" }), "https://xnat.example.org");
  assert.equal(downloadOrigin({}), "");
  assert.equal(downloadBytes({ fileSize: -1, bytesReceived: 10 }), 10);
  assert.equal(downloadBytes(undefined), undefined);
});

test("of readings of two clocks the one that was interrupted least counts", () => {
  const interrupted = [7, 0, 3].flatMap((ms) => [0, ms]);
  let at = 1000;
  const now_ms = () => (at += interrupted.shift() ?? 0);
  assert.equal(ownLead(() => at + 5000, now_ms), 5000);
  assert.equal(interrupted.length, 2, "and the first good one is enough");
});

test("a page's first reading that was interrupted is put right by the next ones; a page that says nothing is taken to be like us", () => {
  const skew = new Skew();
  assert.equal(skew.ms, 0);
  const at = 1763817600000;
  skew.add({ wall_ms: at, mono_ms: at + 12 }, 0);
  assert.equal(skew.ms, -12);
  skew.add({ wall_ms: at, mono_ms: at }, 0);
  skew.add({}, 0);
  assert.equal(skew.ms, 0);
  for (let count = 0; count < 5; count += 1) skew.add({ wall_ms: at, mono_ms: at + 40 }, 0);
  assert.equal(skew.ms, -40, "what was long ago is forgotten");
});
