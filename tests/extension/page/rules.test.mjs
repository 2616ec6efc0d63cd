import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { CONTENT_FILES } from "../../../extension/lib/sites.js";
import { parse } from "./dom.mjs";
import { fitting, pageRules } from "../../../extension/lib/page_rules.js";
import { load, readText, rules } from "./load.mjs";

const own = load();

test("path patterns mean what they mean in Python", () => {
  for (const [pattern, path, wanted] of [
    ["/data/projects/*", "/data/projects/P", true],
    ["/data/projects/*", "/data/projects", false],
    ["/data/projects/*", "/data/projects/a/b", false],
    ["/data/**/files", "/data/files", true],
    ["/data/**/files", "/data/a/b/files", true],
    ["/data/**/files", "/data/a/files/b", false],
    ["/app/**", "/app", true],
    ["/app/**", "/apple", false],
    ["/**", "/", true],
    ["/", "/", true],
    ["/", "/app", false],
    ["/VIEWER", "/VIEWER/x", false],
    ["/VIEWER", "/VIEWER/", true],
    ["/app/template/*.vm", "/app/template/Index.vm", true],
    ["/a.b", "/axb", false],
  ]) {
    assert.equal(fitting({ paths: [pattern] })(path), wanted, `${pattern} ${path}`);
  }
});

test("the path below the context path, as configured or as XNAT's own first segment shows it", () => {
  for (const [path, context, wanted] of [
    ["/xnat/data/projects/P", "/xnat", "/data/projects/P"],
    ["/xnat", "/xnat", "/"],
    ["/xnat/", "/xnat", "/"],
    ["/data/projects/P", "", "/data/projects/P"],
    ["/xnat/VIEWER", null, "/VIEWER"],
    ["/xnat/VIEWER/", undefined, "/VIEWER/"],
    ["/xnat/app/template/Login.vm", null, "/app/template/Login.vm"],
    ["/other/data/x", "/xnat", "/data/x"],
    ["/data/archive/projects/P", null, "/data/archive/projects/P"],
  ]) {
    assert.equal(own.below(path, context), wanted, `${path} ${context}`);
  }
});

test("every action of the catalogue compiles, and every selector of it is one", () => {
  const compiled = rules();
  assert.deepEqual([compiled.bad, Object.keys(compiled.actions).length], [0, 11]);
  const seen = Object.values(compiled.inputs).flatMap(({ any, entries }) => [any, ...entries.flatMap((one) => [one.selector, one.present, one.when?.selector])]).filter(Boolean);
  for (const selector of seen) parse("<body></body>").querySelector(selector); // throws for what is none
  assert.ok(seen.length > 15);
});

test("rules of a policy that cannot be used are left out and counted; an action can be switched off", () => {
  const end = [{ by: "navigation", paths: ["/**"] }];
  const actions = [
    { name: "login", dom: { begin: [{ on: "click", selector: "a[" }, { on: "click", selector: "a" }], end, at_most_ms: 1 } },
    { name: "logout", dom: { begin: [{ on: "click", selector: "a" }] } },
    { name: "play", dom: null },
    { name: "scroll", dom: { begin: [], end, at_most_ms: 1 } },
    null,
  ];
  const compiled = rules(actions);
  assert.deepEqual([Object.keys(compiled.actions), compiled.bad], [["login"], 3]);
  const root = parse("<a id=x></a>");
  const click = { target: root.querySelector("#x"), button: 0, detail: 1 };
  for (let turn = 0; turn < 2; turn += 1) assert.equal(own.matchInput(compiled, "click", click, root).length, 1, "what can be used is");
  assert.equal(compiled.bad, 4);
  assert.equal(Object.keys(pageRules({ version: 1, actions: "nonsense" }).actions).length, 0);
});

test("of a request nothing is kept but its path without the query, the format that it asks for, times and numbers", () => {
  const entry = { name: "https://x.test/xnat/data/search/t1?XNAT_CSRF=secret&format=xList#there", startTime: 1, responseEnd: 2, encodedBodySize: 3, transferSize: 4, responseStatus: 200 };
  const request = own.requestOfEntry(entry, "https://x.test", "/xnat");
  assert.deepEqual({ ...request }, { kind: "request", path: "/data/search/t1", format: "xList", start: 1, end: 2, bytes: 3, status: 200 });
  assert.equal(own.requestOfEntry(entry, "https://other.test", "/xnat"), undefined);
  const broken = { ...entry, encodedBodySize: 0, transferSize: 0, responseStatus: 0 };
  assert.ok(own.requestOfEntry(broken, "https://x.test", "/xnat").status >= 400, "broken off");
  for (const name of ["https://x.test/xnat/tracemark/api/v1/tickets", "https://x.test/favicon.ico"]) {
    assert.equal(own.requestOfEntry({ ...entry, name }, "https://x.test", "/xnat"), undefined, "none of the page's");
  }
});

test("what the viewers are asked: slices, state, place", () => {
  const fork = own.makeLook(parse(readText("fixtures/fork.html")));
  assert.equal(fork.slices(".scroll-holder input.imageSlider, [role=slider]"), 40);
  assert.equal(fork.place(".thumbnail.active, .xnat-thumbnail.active"), 0);
  assert.equal(fork.state(".CineDialog svg[name=play]", "name"), "play");
  assert.equal(own.makeLook(parse(readText("fixtures/ohif3.html"))).slices(".scroll-holder input.imageSlider, [role=slider]"), 40);
  assert.equal(own.scanOf("/data/experiments/E/scans/2/resources/DICOM/files/1.dcm"), "/data/experiments/E/scans/2");
  assert.equal(own.scanOf("/dicom-web/studies/1/series/2/instances/3/frames/1"), "/dicom-web/studies/1/series/2");
});

test("the page side, as it is loaded, is at most a third of Faro's web SDK", () => {
  const text = CONTENT_FILES.map((name) => readFileSync(new URL(`../../../extension/${name}`, import.meta.url), "utf8")).join("");
  const size = gzipSync(text, { level: 9 }).length;
  assert.ok(size <= 13400, `${size} bytes`);
});
