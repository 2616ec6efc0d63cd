// A document of a few lines for tests of the page side: elements, attributes and the selectors that the catalogue uses. No dependency.

const VOID = new Set(["input", "img", "br", "meta", "link"]);

export class Element {
  constructor(tag, attributes = {}, parent = null) {
    Object.assign(this, { tag, attributes, parent, children: [] });
  }
  getAttribute(name) {
    return this.attributes[name] ?? null;
  }
  setAttribute(name, value) {
    this.attributes[name] = value;
  }
  hasAttribute(name) {
    return name in this.attributes;
  }
  *all() {
    for (const child of this.children) {
      yield child;
      yield* child.all();
    }
  }
  matches(selector) {
    return list(selector).some((one) => fits(this, one));
  }
  closest(selector) {
    for (let at = this; at; at = at.parent) if (at.matches(selector)) return at;
    return null;
  }
  contains(other) {
    for (let at = other; at; at = at.parent) if (at === this) return true;
    return false;
  }
  querySelectorAll(selector) {
    const wanted = list(selector);
    return [...this.all()].filter((one) => wanted.some((complex) => fits(one, complex)));
  }
  querySelector(selector) {
    return this.querySelectorAll(selector)[0] ?? null;
  }
}

/** Reads simple, well-formed HTML; text is passed over. */
export function parse(html) {
  const root = new Element("#document");
  let at = root;
  for (const [, close, tag, inside] of html.replace(/<!--.*?-->|<!doctype[^>]*>|<(script|style)[\s\S]*?<\/\1>/gi, "").matchAll(/<(\/?)([a-zA-Z][\w-]*)([^>]*)>/g)) {
    if (close) {
      at = at.parent ?? root;
      continue;
    }
    const attributes = {};
    for (const found of inside.matchAll(/([\w:-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?/g)) attributes[found[1]] = found[2] ?? found[3] ?? found[4] ?? "";
    const made = new Element(tag.toLowerCase(), attributes, at);
    at.children.push(made);
    if (!VOID.has(made.tag) && !inside.trimEnd().endsWith("/")) at = made;
  }
  return root;
}

const parsed = new Map();
const list = (selector) => {
  if (!parsed.has(selector)) parsed.set(selector, split(selector, ",").map(complex));
  return parsed.get(selector);
};

/** Splits at a mark that is in no bracket and no quotes. */
function split(text, mark) {
  const parts = [""];
  let depth = 0;
  let quote = "";
  for (const letter of text) {
    if (quote) quote = letter === quote ? "" : quote;
    else if (letter === '"' || letter === "'") quote = letter;
    else if (letter === "(" || letter === "[") depth += 1;
    else if (letter === ")" || letter === "]") depth -= 1;
    if (letter === mark && depth === 0 && !quote) parts.push("");
    else parts[parts.length - 1] += letter;
  }
  return parts.map((part) => part.trim()).filter(Boolean);
}

/** `a > b c` as [["", compound], [">", compound], [" ", compound]]. */
function complex(text) {
  const parts = [];
  let way = " ";
  for (const part of split(text.replace(/\s*>\s*(?![^[(]*[\])])/g, " > "), " ")) {
    if (part === ">") way = ">";
    else {
      parts.push([way, compound(part)]);
      way = " ";
    }
  }
  return parts;
}

const PIECE = /^(?:([a-zA-Z][\w-]*|\*)|#([\w-]+)|\.([\w-]+)|\[([\w:-]+)(?:=(?:"([^"]*)"|'([^']*)'|([^\]]*)))?\])/;

function compound(text) {
  const tests = [];
  for (let rest = text; rest; ) {
    const pseudo = /^:(not|is|has)\(/.exec(rest);
    if (pseudo) {
      let end = pseudo[0].length;
      for (let depth = 1; depth > 0; end += 1) depth += rest[end] === "(" ? 1 : rest[end] === ")" ? -1 : 0;
      const inner = rest.slice(pseudo[0].length, end - 1);
      tests.push({ not: (one) => !one.matches(inner), is: (one) => one.matches(inner), has: (one) => one.querySelector(inner) !== null }[pseudo[1]]);
      rest = rest.slice(end);
      continue;
    }
    const piece = PIECE.exec(rest);
    if (!piece) throw new SyntaxError(`not a selector: ${text}`);
    const [whole, tag, id, className, attribute, double, single, bare] = piece;
    const value = double ?? single ?? bare;
    if (tag) tests.push((one) => tag === "*" || one.tag === tag);
    else if (id) tests.push((one) => one.attributes.id === id);
    else if (className) tests.push((one) => (one.attributes.class ?? "").split(/\s+/).includes(className));
    else tests.push((one) => (value === undefined ? attribute in one.attributes : one.attributes[attribute] === value));
    rest = rest.slice(whole.length);
  }
  return (one) => one.tag !== "#document" && tests.every((test) => test(one));
}

function fits(one, parts) {
  const [way, test] = parts.at(-1);
  if (!test(one)) return false;
  const before = parts.slice(0, -1);
  if (before.length === 0) return true;
  for (let at = one.parent; at; at = way === ">" ? null : at.parent) if (fits(at, before)) return true;
  return false;
}
