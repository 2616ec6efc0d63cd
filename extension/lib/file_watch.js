// Hears of files from the browser, where it may: of downloads, else of the site's answers. A permission may come at any time.

import { fileTest } from "./downloads.js";

export class FileWatch {
  #parts;
  #downloads = false;
  #answers = false;

  /** `parts`: browser, settings, access, recorder, later(what) (in turn). */
  constructor(parts) {
    this.#parts = parts;
  }

  /** Listen to what may be listened to now. */
  begin() {
    const { browser, access, recorder, later } = this.#parts;
    this.#downloads ||= browser.watchDownloads(
      (item) => later(() => recorder.downloadBegins(item, access.sites)),
      (change) => later(() => recorder.downloadChanged(change.id, change.state?.current, browser.download)),
    );
    this.#answers ||= browser.watchRequests(
      (request) => later(() => !access.downloads && this.#isFile(request) && recorder.answerBegins(request)),
      (request, failed) => later(() => recorder.answerEnds(request, failed)),
    );
  }

  #isFile(request) {
    const { settings, access } = this.#parts;
    return fileTest(settings.rules, access.sites, settings.config.context_path)(request);
  }
}
