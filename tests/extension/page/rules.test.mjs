import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { parse } from "./dom.mjs";
import { catalogue, load, readText } from "./load.mjs";

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
    assert.equal(own.patterns([pattern])(path), wanted, `${pattern} ${path}`);
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
  const seen = [];
  const rules = own.compileRules(catalogue, (selector) => {
    parse("<body></body>").querySelector(selector); // throws for what is none
    seen.push(selector);
    return true;
  });
  assert.equal(rules.bad, 0);
  assert.equal(rules.actions.size, 11);
  assert.ok(seen.length > 15);
});

test("rules of a policy that cannot be used are left out and counted; an action can be switched off", () => {
  const end = [{ by: "navigation", paths: ["/**"] }];
  const rules = own.compileRules(
    [
      { name: "login", dom: { begin: [{ on: "click", selector: "a[" }, { on: "click", selector: "a" }], end, at_most_ms: 1 } },
      { name: "logout", dom: { begin: [{ on: "click", selector: "a" }] } },
      { name: "play", dom: null },
      { name: "scroll", dom: { begin: [], end, at_most_ms: 1 } },
      null,
    ],
    (selector) => selector !== "a[",
  );
  assert.deepEqual([[...rules.actions.keys()], rules.bad], [["login"], 4]);
  assert.equal(own.compileRules("nonsense").actions.size, 0);
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

test("the page side, without its comments, is at most a third of Faro's web SDK", () => {
  const text = ["lib/browser_page", "lib/rules", "lib/evidence", "lib/viewer", "lib/endings", "lib/tagger", "lib/port", "content"]
    .map((name) => readFileSync(new URL(`../../../extension/${name}.js`, import.meta.url), "utf8"))
    .join("")
    .replaceAll(/^\s*(\/\/|\/?\*).*\n/gm, "");
  const size = gzipSync(text, { level: 9 }).length;
  assert.ok(size <= 13400, `${size} bytes`);
});
