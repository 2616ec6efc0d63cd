// Plays a recorded sequence (tests/extension/cases/*.json) against the real rules and the tagger, as content.js feeds them.
import { parse } from "./dom.mjs";
import { load, readText, rules as compiled } from "./load.mjs";

const ECHO = /cornerstone/i;

export class Player {
  constructor({ page = "session.html", origin = 0, rules = compiled() } = {}) {
    this.own = load();
    this.root = parse(readText(`fixtures/${page}`));
    this.rules = rules;
    this.told = [];
    this.ids = 0;
    this.time = 0;
    this.tagger = new this.own.Tagger({
      rules: this.rules,
      emit: (marker) => this.told.push(marker),
      newId: () => `id-${(this.ids += 1)}`,
      look: this.own.makeLook(this.root),
      origin,
      navigations: true,
    });
  }

  play(steps) {
    for (const [name, ...values] of steps) this[name](...values);
    return this;
  }

  /** A native event of this type on the element, after those before it have been worked off. */
  on(type, t, selector, more = {}) {
    const target = this.root.querySelector(selector);
    if (!target) throw new Error(`the fixture has no ${selector}`);
    const trusted = more.trusted ?? !ECHO.test(type);
    const event = { type, target, timeStamp: t, button: 0, detail: 1, ...more };
    const hits = this.own.matchInput(this.rules, type, event, this.root);
    const changes = hits.map(({ action }) => action.confirm?.changes).find(Boolean);
    const place = changes && this.tagger.look.place(changes);
    const cause = ["click", "submit", "change"].includes(type) || event.key === "Enter";
    this.tagger.input({ kind: "input", t, trusted, cause, hits, place, submits: type === "submit", prevented: more.prevented });
  }

  set(selector, attribute, value) {
    const target = this.root.querySelector(selector);
    if (attribute === "files") target.files = value.map((size) => ({ size }));
    else target.setAttribute(attribute, value);
  }

  remove(selector) {
    const target = this.root.querySelector(selector);
    target.parent.children.splice(target.parent.children.indexOf(target), 1);
  }

  image(what, t, count = 1, last = t) {
    this.tagger.image({ kind: "image", what, t, last, count });
  }

  images(what, count, t, every) {
    for (let index = 0; index < count; index += 1) this.image(what, t + index * every);
  }

  request(path, start, end, more = {}) {
    const [place, query = ""] = path.split("?");
    const format = /format=(\w+)/.exec(query)?.[1] ?? "";
    this.tagger.request({ kind: "request", path: place, format, start, end, bytes: 100, status: 200, ...more });
  }

  slices(folder, count, start, every, lasts) {
    for (let index = 0; index < count; index += 1) this.request(`${folder}/${index}.dcm`, start + index * every, start + index * every + lasts);
  }

  navigate(path, t, method = "GET") {
    this.request(path, t, null, { navigation: true, method, same: false });
  }

  document(t, path, more = {}) {
    this.tagger.document({ kind: "document", t, path, from: null, page: true, open: [], status: 200, ...more });
  }

  loaded(t) {
    this.tagger.loaded({ t });
  }

  frame(t) {
    this.tagger.frame({ t });
  }

  pointer(down, t) {
    this.tagger.pointer({ down, t });
  }

  leave(t) {
    this.tagger.leave({ t });
  }

  tick(t) {
    this.pause = this.tagger.tick({ t });
    this.time = t;
  }

  /** Time passes in steps of a quarter of a second. */
  until(t) {
    for (let at = Math.max(this.time, t - 60000); at < t; at += 250) this.tick(at);
    this.tick(t);
  }

  /** What was told, without ids: [phase, action, time, attributes]. */
  summary() {
    return this.told.map(({ phase, action, t, attrs }) => [phase, action, Math.round(t), JSON.parse(JSON.stringify(attrs))]);
  }
}
