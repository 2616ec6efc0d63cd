// What the popup, the options and the first-run page share: asking the background, and words for people.

import "./browser_calls.js";

const { browser } = globalThis.tracemark;

/** The background's answer; raises an Error with words when it has none. */
export async function ask(message) {
  const answer = await browser.send(message);
  if (answer === undefined) throw new Error("The extension is just starting. Try again in a moment.");
  if (answer.error) throw new Error(answer.error);
  return answer;
}

export const find = (id) => document.getElementById(id);

/** An element with attributes and children; texts are texts, never markup. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Set a text where it differs: what is set again is read out again, and loses what is selected in it. */
export function say(id, text) {
  if (find(id).textContent !== text) find(id).textContent = text;
}

/** The same for a list: its lines are made anew only when a text changes, so that nothing loses the focus meanwhile. */
export function sayEach(id, texts, line = (text) => element("li", {}, text)) {
  const [list, now] = [find(id), JSON.stringify(texts)];
  if (list.dataset.texts === now) return;
  list.dataset.texts = now;
  list.replaceChildren(...texts.map(line));
}

/** A button that has gone away hands the focus on to the first of `others` that is there, so that the keyboard keeps its place. */
export function handOn(button, others) {
  const isShown = (one) => one.getClientRects().length > 0;
  if (!isShown(button)) [...document.querySelectorAll(others)].find(isShown)?.focus();
}

/** The state in words, in the box with the id `state`. */
export function showState({ state, headline, todo, notes = [] }) {
  find("state").dataset.state = state;
  say("headline", headline);
  say("todo", todo);
  sayEach("notes", notes);
}

export const plural = (count, one, many) => `${count.toLocaleString()} ${count === 1 ? one : many}`;

export function bytes(count) {
  if (count < 1024) return `${count} B`;
  return count < 1024 * 1024 ? `${(count / 1024).toFixed(1)} KiB` : `${(count / 1024 / 1024).toFixed(1)} MiB`;
}

export function milliseconds(ms) {
  if (Math.abs(ms) < 10) return `${(Math.round(ms * 10) / 10 + 0).toFixed(1)} ms`;
  return Math.abs(ms) < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** The time of day of a marker, to the millisecond, by this computer's clock. */
export function timeOfDay(ns) {
  const when = new Date(ns / 1e6);
  const pad = (number, width = 2) => String(number).padStart(width, "0");
  return `${pad(when.getHours())}:${pad(when.getMinutes())}:${pad(when.getSeconds())}.${pad(when.getMilliseconds(), 3)}`;
}

/** Colours and labels of the actions, from the one catalogue. */
export async function loadCatalogue() {
  const catalogue = await (await fetch(browser.url("catalogue.json"))).json();
  return new Map(catalogue.actions.map((action) => [action.name, action]));
}
