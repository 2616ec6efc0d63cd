// Elements without markup in strings: whatever is shown is text, so nothing has to be escaped.

/** element("td", {class: "n", title: "…"}, "text", otherElement) */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A small square in an action's colour; stripes where two actions share a hue. */
export function swatch(look) {
  const made = element("span", { class: look.texture === "striped" ? "swatch striped" : "swatch", "aria-hidden": "true" });
  made.style.backgroundColor = look.colour;
  return made;
}

export const byId = (id) => document.getElementById(id);
