import assert from "node:assert/strict";
import { test } from "node:test";
import { rulesFor } from "../../../extension/lib/traceparent.js";
import { scenarioOf } from "../../../extension/lib/scenario_file.js";
import { ScenarioSession } from "../../../extension/lib/scenario_session.js";

const SESSION = "ab".repeat(16);
const TAB = { id: 7 };
const on = (name) => [`id=${name}`, `css=#${name}`];

test("a label is for the site alone, below its path, with and without a socket", () => {
  const rules = rulesFor(SESSION, ["https://xnat.example.org"], "/xnat");
  assert.deepEqual(rules.map((rule) => rule.condition.urlFilter), ["|https://xnat.example.org/xnat^", "|wss://xnat.example.org/xnat^"]);
  assert.deepEqual(rules[0].action.requestHeaders, [{ header: "traceparent", operation: "set", value: `00-${SESSION}-0000000000000001-01` }]);
  assert.deepEqual([rulesFor(null, ["https://x"], ""), rulesFor("anna", ["https://x"], "")], [[], []]);
});

/** A recording of these messages and markers of the scenario's tab. */
function recorded(messages, markers = []) {
  const session = new ScenarioSession();
  session.start("mine", "reader", 0);
  for (const message of messages) session.heard(message?.tab ?? TAB, message, 1000);
  for (const marker of markers) session.noted(7, marker);
  return session;
}
const marker = (action, phase, wall_ms, more = {}) => ({ action_id: action, action, phase, wall_ms, ...more });
const page = { type: "document", t: 1000, path: "/app/template/Login.vm", typed: true, window: [1000, 700] };
const click = (t, name, more = {}) => ({ type: "click", t, last: t + 50, targets: on(name), ...more });

test("typing becomes a reference, its click goes, and pauses are between what a person did", () => {
  const session = recorded([
    page,
    click(2000, "username", { field: true }),
    { type: "type", t: 2500, last: 4000, targets: on("username"), field: "user", value: "anna" },
    { type: "type", t: 5000, last: 6000, targets: on("password"), field: "password" },
    { type: "type", t: 7000, last: 8000, targets: on("words"), field: "text" },
  ]);
  const { scenario, notes } = scenarioOf(session.recorded);
  assert.deepEqual(scenario.steps.map((step) => [step.step, step.text, step.secret, step.think?.seconds]), [
    ["open", undefined, undefined, undefined],
    ["type", "${user}", undefined, 1],
    ["type", "${password}", true, 1],
    ["type", "${text1}", undefined, 1],
  ]);
  assert.deepEqual(scenario.parameters, { user: "${env:XNAT_USER}", password: "${env:XNAT_PASSWORD}", text1: "${env:TEXT1}", pace: 1 });
  assert.ok(!JSON.stringify(session).includes("anna"), "no field of ours, so not kept");
  assert.deepEqual([notes, scenario.window], [[], [1000, 700]]);
});

test("an action goes to the input that began it, with what to wait for; a cancelled one is none", () => {
  const { scenario } = scenarioOf(
    recorded(
      [page, click(2000, "in"), { type: "document", t: 2500, path: "/app/template/Index.vm", typed: false }, click(9000, "lost")],
      [marker("login", "begin", 2060), marker("login", "end", 3000), marker("page_load", "begin", 9060), marker("page_load", "cancel", 9500)],
    ).recorded,
  );
  const [, login, lost] = scenario.steps;
  assert.deepEqual([login.action, login.expect, login.refuse[0].path], ["login", [{ kind: "page", path: "/app/template/Index\\.vm/?$" }], "/app/template/Login\\.vm/?$"]);
  assert.deepEqual([lost.action, lost.think.seconds], [undefined, 6]);
});

test("playing ends with the click that stops it, or where the next action begins", () => {
  const played = (...more) => scenarioOf(recorded([page, click(2000, "play"), ...more], [marker("play", "begin", 2050), marker("play", "end", 5050), marker("logout", "begin", 6060)]).recorded).scenario;
  assert.deepEqual(played(click(5000, "play"), click(6000, "out")).steps.map((step) => [step.step, step.action, step.part]), [
    ["open", undefined, undefined],
    ["click", "play", "begin"],
    ["click", "play", "end"],
    ["click", "logout", undefined],
  ]);
  assert.deepEqual(played(click(6000, "out")).steps.map((step) => [step.step, step.part]), [["open", undefined], ["click", "begin"], ["wait", "end"], ["click", undefined]]);
});

test("wheel, keys, drag, double click, lists, files and a new tab have steps", () => {
  const { scenario, notes } = scenarioOf(
    recorded([
      page,
      { type: "wheel", t: 2000, last: 3000, targets: on("pane"), turns: [5, -3] },
      { type: "keys", t: 4000, last: 4500, targets: on("pane"), keys: ["ArrowDown", "PageUp"] },
      { type: "drag", t: 5000, last: 6000, targets: on("pane"), at: [10.4, 20], by: [30, -5] },
      click(7000, "thumb"),
      click(7100, "thumb"),
      { type: "dblclick", t: 7150, targets: on("thumb") },
      { type: "select", t: 8000, targets: on("rows"), index: 2 },
      { type: "file", t: 9000, targets: on("zip") },
      { ...page, t: 10_000, tab: { id: 8, openerTabId: 7 } },
      { type: "left_out", what: "letter" },
    ]).recorded,
  );
  assert.deepEqual(scenario.steps.slice(1).map((step) => [step.step, step.notches ?? step.keys ?? step.by ?? step.option ?? step.file ?? step.which]), [
    ["wheel", 5], ["wheel", -3], ["press", "{DOWN}{PAGE_UP}"], ["drag", [30, -5]], ["double_click", undefined], ["select", "index=2"], ["choose_file", "${file1}"], ["tab", "newest"],
  ]);
  assert.deepEqual(notes, ["Letters typed outside a field are not kept."]);
});

test("what is not understood, of another tab, or too much is not kept", () => {
  const session = recorded([page, click(2000, "a"), click(2100, "b", { tab: { id: 9 } }), { type: "click", t: 1, targets: ["javascript:1"] }, { type: "document", t: 1, path: "/a?b" }, null, { type: "keys", t: 1, targets: on("a"), keys: ["a"] }]);
  assert.deepEqual([session.summary.gestures, session.summary.left_out], [1, { other_tab: 1 }]);
  for (let t = 0; t < 3000; t += 1) session.heard(TAB, click(t, "a"), 1000);
  assert.equal(session.recorded.events.length, 2000);
  session.stop();
  session.heard(TAB, click(1, "a"), 1000);
  assert.deepEqual([session.on, session.recorded.events.length], [false, 2000]);
});
