// Recorded sequences and what they amount to. A new case needs no code.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { Player } from "./player.mjs";

const FOLDER = new URL("../cases/", import.meta.url);

for (const file of readdirSync(FOLDER).filter((name) => name.startsWith("page_") && name.endsWith(".json"))) {
  for (const { title, page, origin, steps, told } of JSON.parse(readFileSync(new URL(file, FOLDER), "utf8"))) {
    test(`${file.slice(5, -5)}: ${title}`, () => {
      const player = new Player({ page, origin }).play(steps);
      const summary = player.summary();
      const wanted = told.map(([phase, action, t, attrs], index) => [phase, action, t, attrs ?? summary[index]?.[3]]);
      assert.deepEqual(summary, wanted);
      const begun = new Set();
      for (const { action_id, phase } of player.told) {
        if (phase === "begin") assert.ok(!begun.has(action_id), "an id begins once");
        begun.add(action_id);
      }
    });
  }
}
