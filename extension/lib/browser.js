// The browser's extension API: this file alone names it. Pages need one call of it, a way to the background; the others, which the
// background and our own pages use, stand in lib/browser_calls.js.
(() => {
  const api = globalThis.browser ?? globalThis.chrome;
  const connect = (name) => api.runtime.connect({ name });
  (globalThis.tracemark ??= {}).browser = { api, connect: () => connect("tracemark"), connectScenario: () => connect("tracemark-scenario") };
})();
