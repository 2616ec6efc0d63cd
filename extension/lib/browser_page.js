// The one call of the browser's API that pages need: a way to the background.
(() => {
  const { runtime } = globalThis.browser ?? globalThis.chrome;
  const connect = (name) => runtime.connect({ name });
  (globalThis.tracemark ??= {}).browser = { connect: () => connect("tracemark"), connectScenario: () => connect("tracemark-scenario") };
})();
