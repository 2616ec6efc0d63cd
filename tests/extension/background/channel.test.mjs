import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff, Conversation, FIRST_PINGS } from "../../../extension/lib/channel.js";
import { clientFault, conversations, fault } from "./support/schema.mjs";

const FINAL = new Set([4400, 4401, 4409, 4413]);
const SESSION = "c0ffee00c0ffee00c0ffee00c0ffee00";
const OURS = ["first_session", "lost_at_the_client", "journal_full", "ticket", "extension_origin", "extension_origin_firefox", "refused_token", "refused_ticket", "too_fast"];

const fields = ({ seq, ...rest }) => rest;
const entry = (seq, more = {}) => ({ seq, kind: "marker", fields: { action_id: "00f067aa0ba902b7", action: "scroll", phase: "begin", wall_ns: 1.7e18, mono_ns: 1, offset_ns: null, offset_error_ns: null, attrs: {}, ...more } });
const talking = (more = {}) => {
  const talk = new Conversation({ session: SESSION, client: "tracemark-extension-0.1.0", credentials: {}, acked: 0, resume_seq: 1, welcomed: false, ...more });
  talk.hear(JSON.stringify({ type: "welcome", session: SESSION, role: null, last_seq: more.last_seq ?? 0, time_ns: 1 }), 0);
  return talk;
};

for (const conversation of conversations()) {
  const hello = conversation.steps.find((step) => step.client?.type === "hello" && step.valid !== false)?.client;
  if (!hello) continue;
  test(`every answer in "${conversation.name}" is understood, and its end means what the contract says`, () => {
    const talk = new Conversation({ session: hello.session, client: hello.client, credentials: {}, acked: 0, resume_seq: 1, welcomed: false });
    for (const step of conversation.steps) {
      if (step.sidecar) for (const effect of talk.hear(JSON.stringify(step.sidecar), 1)) assert.notEqual(effect.do, "leave");
      if (step.close) assert.equal(talk.closed(step.close).final, FINAL.has(step.close), conversation.title);
    }
  });
}

for (const name of OURS) {
  test(`we say what the client says in "${name}"`, () => {
    const { steps } = conversations().find((one) => one.name === name);
    const hello = steps[0].client;
    const { token, ticket } = hello;
    const welcomed = hello.resume_seq !== undefined;
    const resume_seq = hello.resume_seq ?? 1;
    const talk = new Conversation({ session: hello.session, client: hello.client, credentials: token ? { token } : ticket ? { ticket } : {}, acked: resume_seq - 1, resume_seq, welcomed });
    const entries = [];
    for (const { client, sidecar, close } of steps) {
      if (sidecar) talk.hear(JSON.stringify(sidecar), 5);
      if (sidecar?.code?.startsWith("journal")) talk.rewind();
      if (close) talk.closed(close);
      if (client?.type === "hello") assert.deepEqual(talk.hello, client);
      if (client?.type === "ping") assert.deepEqual(talk.ping(client.t0_ns / 1e6), client);
      if (["markers", "rating", "run", "transfer"].includes(client?.type)) {
        const told = client.type === "markers" ? client.items : [client];
        for (const item of told) {
          const { type, ...rest } = fields(item);
          if (!entries.some((one) => one.seq === item.seq)) entries.push({ seq: item.seq, kind: type ?? "marker", fields: rest });
        }
        assert.deepEqual(talk.tell(entries.filter((one) => one.seq > talk.acked)), [client]);
      }
    }
  });
}

test("all that we say fits the schema", () => {
  const talk = talking({ credentials: { token: "secret" }, welcomed: true, resume_seq: 7, acked: 6 });
  const rating = { seq: 8, kind: "rating", fields: { time_ns: Math.round(1763817600123.4567 * 1e6), score: 4 } };
  const messages = [talk.hello, talk.ping(12345.678), ...talk.tell([entry(7, { wall_ns: Math.round(1763817600123.4567 * 1e6), attrs: { bytes: 3, evidence: "download" } }), rating])];
  assert.equal(messages.length, 4);
  for (const message of messages) {
    assert.equal(clientFault(message), "");
    assert.ok(!/\d[eE][+-]?\d|\d\.\d/.test(JSON.stringify({ ...message, client: "" })), "whole numbers without fraction or exponent");
  }
});

test("the validator of these tests refuses what is wrong", () => {
  assert.notEqual(clientFault({ type: "ping", t0_ns: 1.5 }), "");
  assert.notEqual(clientFault({ type: "ping", t0_ns: 1, more: 1 }), "");
  assert.notEqual(fault(1, { type: "string" }), "");
});

test("at most a hundred markers in a message and a thousand under way; an acknowledgement makes room", () => {
  const talk = talking();
  const entries = Array.from({ length: 1500 }, (_, index) => entry(index + 1));
  const first = talk.tell(entries);
  assert.deepEqual(first.map((message) => message.items.length), Array(10).fill(100));
  assert.deepEqual(talk.tell(entries), []);
  assert.deepEqual(talk.hear('{"type":"ack","seq":200}', 0), [{ do: "acknowledged", seq: 200 }]);
  assert.deepEqual(talk.tell(entries.slice(200)).flatMap((message) => message.items.map((item) => item.seq)), Array.from({ length: 200 }, (_, index) => 1001 + index));
});

test("nothing is told before the welcome, and what the welcome acknowledges is not told at all", () => {
  const talk = new Conversation({ session: SESSION, client: "c", credentials: {}, acked: 0, resume_seq: 1, welcomed: true });
  assert.deepEqual(talk.tell([entry(1)]), []);
  talk.hear(JSON.stringify({ type: "welcome", session: SESSION, role: "reader", last_seq: 1, time_ns: 1 }), 0);
  assert.equal(talk.role, "reader");
  assert.deepEqual(talk.tell([entry(1), entry(2)]).flatMap((message) => message.items.map((item) => item.seq)), [2]);
});

test("a replaced connection does not come back by itself; a too fast one waits as long as it is told", () => {
  const replaced = talking();
  replaced.hear('{"type":"error","code":"replaced","message":"newer"}', 0);
  assert.equal(replaced.closed(1000).final, true);
  const fast = talking();
  fast.hear('{"type":"error","code":"too_fast","message":"slow down","retry_after_ms":700}', 0);
  assert.deepEqual(fast.closed(4429), { final: false, code: "too_fast", message: "slow down", retry_after_ms: 700 });
});

test("an answer that is no JSON or unknown ends the connection, and is no crash", () => {
  assert.equal(talking().hear("<html>", 0)[0].do, "leave");
  assert.equal(talking().hear('{"type":"party"}', 0)[0].do, "leave");
  assert.equal(talking().hear("null", 0)[0].do, "leave");
});

test("pauses double from half a second to half a minute, spread by chance, never shorter than asked", () => {
  const backoff = new Backoff();
  const longest = Array.from({ length: 9 }, () => backoff.next(1));
  assert.deepEqual(longest, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  assert.equal(backoff.next(0), 15000);
  backoff.reset();
  assert.equal(backoff.next(0), 250);
  assert.equal(backoff.next(0, 9000), 9000);
  assert.ok(FIRST_PINGS >= 3);
});
