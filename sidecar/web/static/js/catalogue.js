// The actions: names, labels, colours, marks; and the chips that switch them on and off.

import { element, swatch } from "./dom.js";

export class Catalogue {
  constructor(rows) {
    this.rows = rows;
    this.names = rows.map((row) => row.name);
    this.byName = new Map(rows.map((row) => [row.name, row]));
  }

  /** How an action looks; an unknown one is grey and keeps its name. */
  get(name) {
    return this.byName.get(name) ?? { name, label: name.replaceAll("_", " ").toUpperCase(), colour: "#767676", texture: "solid", mark: "??" };
  }

  colour(name) {
    return this.get(name).colour;
  }

  label(name) {
    return this.get(name).label;
  }

  /** One button per action, pressed while it is shown; `hidden` is kept up to date, then `changed` is called. */
  chips(hidden, changed) {
    return this.rows.map((look) => {
      const chip = element("button", { type: "button", class: "chip", "aria-pressed": "true" }, swatch(look), look.label);
      chip.addEventListener("click", () => {
        const off = !hidden.delete(look.name);
        if (off) hidden.add(look.name);
        chip.setAttribute("aria-pressed", String(!off));
        changed();
      });
      return chip;
    });
  }
}
