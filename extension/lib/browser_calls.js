// What the background and our own pages use of the browser's API, all of it: calls of `tracemark.browser`, under our words, with promises.
import "./browser.js";

{
  const { api } = globalThis.tracemark.browser;
  const optional = (promise) => Promise.resolve(promise).catch(() => undefined);

  Object.assign(globalThis.tracemark.browser, {
    id: api.runtime.id,
    url: (path) => api.runtime.getURL(path),
    version: () => api.runtime.getManifest().version,
    /** Any call of the API counts as activity in Firefox, where traffic on a socket does not. */
    stayAwake: () => api.runtime.getPlatformInfo(),
    send: (message) => api.runtime.sendMessage(message),
    onConnect: (listener) => api.runtime.onConnect.addListener(listener),
    onInstalled: (listener) => api.runtime.onInstalled.addListener(listener),
    onStartup: (listener) => api.runtime.onStartup.addListener(listener),
    /** `answer(message, sender)` returns a promise, or undefined when the message is not for it. */
    onMessage: (answer) =>
      api.runtime.onMessage.addListener((message, sender, reply) => {
        const answered = answer(message, sender);
        if (answered === undefined) return false;
        answered.then(reply, (error) => reply({ error: String(error?.message ?? error) }));
        return true;
      }),

    // what is kept: local outlives the browser, session lives as long as it, managed is the organisation's and may be missing
    readLocal: (keys) => api.storage.local.get(keys),
    writeLocal: (values) => api.storage.local.set(values),
    readSession: (keys) => api.storage.session.get(keys),
    writeSession: (values) => api.storage.session.set(values),
    readManaged: async () => (await optional(api.storage.managed?.get(null))) ?? {},
    onStored: (listener) => api.storage.onChanged.addListener(listener),

    setAlarm: (name, when) => api.alarms.create(name, when),
    clearAlarm: (name) => optional(api.alarms.clear(name)),
    onAlarm: (listener) => api.alarms.onAlarm.addListener((alarm) => listener(alarm.name)),

    hasOrigins: (origins) => api.permissions.contains({ origins }),
    requestOrigins: (origins) => api.permissions.request({ origins }),
    removeOrigins: (origins) => optional(api.permissions.remove({ origins })),
    hasDownloads: () => api.permissions.contains({ permissions: ["downloads"] }),
    requestDownloads: () => api.permissions.request({ permissions: ["downloads"] }),
    removeDownloads: () => optional(api.permissions.remove({ permissions: ["downloads"] })),
    hasRequests: () => api.permissions.contains({ permissions: ["webRequest"] }),
    requestRequests: () => api.permissions.request({ permissions: ["webRequest"] }),
    removeRequests: () => optional(api.permissions.remove({ permissions: ["webRequest"] })),
    onPermissions: (listener) => {
      api.permissions.onAdded.addListener(listener);
      api.permissions.onRemoved.addListener(listener);
    },

    registered: () => api.scripting.getRegisteredContentScripts(),
    register: (script) => api.scripting.registerContentScripts([script]),
    unregister: (ids) => api.scripting.unregisterContentScripts({ ids }),
    inject: (tabId, files) => optional(api.scripting.executeScript({ target: { tabId, allFrames: true }, files })),
    injectTop: (tabId, files) => optional(api.scripting.executeScript({ target: { tabId, frameIds: [0] }, files })),
    /** What `func(...args)` comes to in the tab's own document, apart from the page's scripts. */
    ask: async (tabId, func, args) => (await api.scripting.executeScript({ target: { tabId, frameIds: [0] }, func, args }))[0]?.result,

    /** These rules for requests and no others; without the API, or refused by it, requests simply stay as they are. */
    canLabel: () => Boolean(api.declarativeNetRequest),
    labelRequests: async (addRules) => {
      const rules = api.declarativeNetRequest;
      const removeRuleIds = ((await optional(rules?.getSessionRules())) ?? []).map((rule) => rule.id);
      if (addRules.length + removeRuleIds.length > 0) await optional(rules?.updateSessionRules({ addRules, removeRuleIds }));
    },

    tabsOn: (patterns) => api.tabs.query({ url: patterns }),
    onTabClosed: (listener) => api.tabs.onRemoved.addListener(listener),
    openTab: (path) => api.tabs.create({ url: api.runtime.getURL(path) }),

    setBadge: (tabId, { text, colour, title }) => {
      const where = tabId === undefined ? {} : { tabId };
      return Promise.all([
        optional(api.action.setBadgeText({ ...where, text })),
        optional(api.action.setBadgeBackgroundColor({ ...where, color: colour })),
        optional(api.action.setBadgeTextColor?.({ ...where, color: "#ffffff" })),
        optional(api.action.setTitle({ ...where, title })),
      ]);
    },

    /** The downloads API is there once its permission is; false while it is not. */
    watchDownloads: (onCreated, onChanged) => {
      if (!api.downloads) return false;
      api.downloads.onCreated.addListener(onCreated);
      api.downloads.onChanged.addListener(onChanged);
      return true;
    },
    download: async (id) => (await api.downloads.search({ id }))[0],

    /** Requests of documents and frames, where that permission was given; false while it is not. Nothing is held up or changed. */
    watchRequests: (begun, over) => {
      if (!api.webRequest) return false;
      const filter = { urls: ["<all_urls>"], types: ["main_frame", "sub_frame"] }; // of the sites alone: for others there is no permission
      api.webRequest.onBeforeRequest.addListener((request) => void begun(request), filter);
      api.webRequest.onCompleted.addListener((request) => over(request, false), filter, ["responseHeaders"]);
      api.webRequest.onErrorOccurred.addListener((request) => over(request, true), filter);
      return true;
    },
  });
}
