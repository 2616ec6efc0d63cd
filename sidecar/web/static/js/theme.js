// Runs before the first paint: a choice made earlier wins over the system's setting.
"use strict";
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("tracemark-theme");
  } catch {
    // Storage is switched off: follow the system.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
