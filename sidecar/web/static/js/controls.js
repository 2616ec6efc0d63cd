// What can be pressed above the curves: range, pause, theme, filters, and the dialog for a range of one's own.

import { byId, element } from "./dom.js";
import { local } from "./format.js";

/** `on`: follow(span), zoom(from, to), pause(), refilter(change), recolour(), older(). */
export function wire(state, on) {
  byId("ranges").addEventListener("click", (event) => {
    const { range } = event.target.dataset ?? {};
    if (range) on.follow(Number(range) * 1000);
  });
  byId("pause").addEventListener("click", () => on.pause());
  byId("older-show").addEventListener("click", () => on.older());
  byId("source").addEventListener("change", (event) => on.refilter({ source: event.target.value }));
  byId("session").addEventListener("change", (event) => on.refilter({ session: event.target.value }));
  byId("theme").addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).colorScheme.includes("dark");
    const chosen = dark ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    try {
      localStorage.setItem("tracemark-theme", chosen);
    } catch {
      // Storage is switched off: the choice lasts until the page is left.
    }
    on.recolour();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => on.recolour());
  wireDialog(state, on);
}

function wireDialog(state, on) {
  const dialog = byId("range-dialog");
  byId("custom").addEventListener("click", () => {
    byId("range-from").value = local(state.view.from);
    byId("range-to").value = local(state.view.to);
    byId("range-wrong").textContent = "";
    dialog.showModal();
  });
  byId("range-cancel").addEventListener("click", () => dialog.close());
  byId("range-form").addEventListener("submit", (event) => {
    const from = new Date(byId("range-from").value).getTime();
    const to = new Date(byId("range-to").value).getTime();
    if (from < to) return on.zoom(from, to);
    event.preventDefault();
    byId("range-wrong").textContent = "From must be earlier than To.";
  });
}

/** The buttons tell the range that is shown, and whether it moves. */
export function showRange(state) {
  for (const button of byId("ranges").querySelectorAll("[data-range]")) {
    button.setAttribute("aria-pressed", String(state.live && Number(button.dataset.range) * 1000 === state.span));
  }
  byId("custom").setAttribute("aria-pressed", String(!state.live));
  const still = state.paused || !state.live;
  byId("pause").textContent = still ? "Back to live" : "Pause";
  byId("pause").setAttribute("aria-pressed", String(state.paused));
  document.documentElement.dataset.mode = still ? "still" : "live";
}

/** The sessions of the range, to choose one; left alone while somebody chooses. */
export function listSessions(state, actions) {
  const select = byId("session");
  const found = new Map();
  for (const one of actions) if (one.session) found.set(one.session, `${one.role ?? one.source} ${one.session.slice(-4)}`);
  if (state.session && !found.has(state.session)) found.set(state.session, `… ${state.session.slice(-4)}`);
  const key = [...found.keys()].join();
  if (select.dataset.key === key || document.activeElement === select) return;
  select.dataset.key = key;
  const options = [...found].sort((a, b) => (a[1] < b[1] ? -1 : 1)).map(([id, text]) => element("option", { value: id }, text));
  select.replaceChildren(element("option", { value: "" }, "all sessions"), ...options);
  select.value = state.session;
}
