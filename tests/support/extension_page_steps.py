"""What a person does on the practice system, by native input, and what the page knows to be true about it.

Each step returns the `Truth` of the action that it performed: begin and end as the page's own log has them.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from replay.lab.info import LabInfo
from tests.support.extension_page import Person, Truth
from tests.support.lab_web import dicom_slice
from tests.support.waiting import wait_until

PANE = ".viewport-container.active .viewport-element, .viewport-element"
PLAYER = ".CineDialog button[title='Play / Stop']"
#: after so long without a request a page is complete
QUIET_MS = 500


class Visit:
    """A person on one practice system."""

    def __init__(self, person: Person, lab: LabInfo) -> None:
        self.person = person
        self.lab = lab
        self.url = lab.url + lab.context_path
        self._since_ms = 0.0
        self._at_login = False

    def _now(self) -> float:
        self._since_ms = self.person.now()
        return self._since_ms

    def _loaded(self, path: str, begin_ms: float) -> float:
        """The end of a page with all that it fetched by itself, as it is defined: what a page, or a slow machine, asks for
        after a time without any request is no part of it, but for a listing, which is waited for.
        """
        person = self.person
        person.until("load", begin_ms, path)
        complete = person.quiet("load", begin_ms, still_ms=600)
        for begin, end, asked in person.answers(begin_ms):
            if begin <= complete + QUIET_MS or "/search" in asked:
                complete = max(complete, end)
        return complete

    def while_passing(self, milliseconds: float) -> None:
        """Let the page's time pass."""
        since = self.person.now()
        wait_until(lambda: self.person.now() - since > milliseconds, f"{milliseconds} ms")

    # pages

    def login_page(self) -> Truth:
        """The login page by its address."""
        person = self.person
        since = self._now()
        person.driver.get(self.url + "/app/template/Login.vm")
        begin = person.until("document", since - 2, "Login.vm")
        self._at_login = True
        return Truth(action="page_load", begin_ms=begin, end_ms=self._loaded("Login.vm", begin))

    def log_in(self, user: str = "researcher", password: str | None = None, way: str = "click") -> Truth:
        person = self.person
        if not self._at_login:
            person.driver.get(self.url + "/app/template/Login.vm")
        self._at_login = False
        person.find("#username").send_keys(user)
        field = person.find("#password")
        field.send_keys(password or self.lab.users[user])
        since = self._now()
        if way == "enter":
            field.send_keys(Keys.ENTER)
            begin = person.until("keydown", since, "Enter")
        else:
            person.click("#loginButton")
            begin = person.until("click", since, "loginButton")
        return Truth(action="login", begin_ms=begin, end_ms=person.until("load", begin, "Login.vm" if password else "Index.vm"))

    def log_out(self) -> Truth:
        since = self._now()
        self.person.click("#logout_user")
        begin = self.person.until("click", since, "logout_user")
        return Truth(action="logout", begin_ms=begin, end_ms=self.person.until("load", begin, "Login.vm"))

    def expire(self) -> Truth:
        """The session is gone on the server; the next click leads to the login page."""
        since = self._now()
        self.person.driver.delete_cookie("JSESSIONID")
        self.person.click("#nav-home")
        begin = self.person.until("click", since, "nav-home")
        return Truth(action="logout", begin_ms=begin, end_ms=self.person.until("load", begin, "Login.vm"))

    def run_out(self) -> Truth:
        """Nobody does anything: the page's timer comes to its end, the page loads itself again, and is not given any more."""
        person = self.person
        begin = person.until("document", self._now(), "Login.vm")
        self._at_login = True
        return Truth(action="logout", begin_ms=begin, end_ms=person.until("load", begin, "Login.vm"))

    def home(self) -> Truth:
        since = self._now()
        self.person.click("#nav-home")
        begin = self.person.until("click", since, "nav-home")
        return Truth(action="page_load", begin_ms=begin, end_ms=self._loaded("Index.vm", begin))

    def home_by_address(self) -> float:
        """Away by typing an address; returns when the page was left."""
        since = self._now()
        self.person.driver.get(self.url + "/app/template/Index.vm")
        return self.person.until("pagehide", since)

    def home_in_viewer(self) -> Truth:
        """The viewer has no way home but the address: of that nobody sees anything before the document."""
        since = self._now()
        self.home_by_address()
        begin = self.person.until("document", since - 2, "Index.vm")
        return Truth(action="page_load", begin_ms=begin, end_ms=self._loaded("Index.vm", begin))

    def project(self) -> Truth:
        since = self._now()
        self.person.click("#project_list a[data-project=COVID19_CT]")
        begin = self.person.until("click", since)
        self.person.until("drawn", begin, "listing .*ready")
        return Truth(action="page_load", begin_ms=begin, end_ms=self._loaded("/projects/", begin))

    def session(self) -> Truth:
        """From a listing of sessions to the one with images."""
        since = self._now()
        self.person.click("tr[data-id=XNAT_E00001] a")
        begin = self.person.until("click", since)
        return Truth(action="page_load", begin_ms=begin, end_ms=self._loaded("/experiments/", begin))

    def open_session(self) -> None:
        """Straight to the session's page, as one with a bookmark."""
        since = self.person.now()
        self.person.driver.get(self.url + "/data/experiments/XNAT_E00001")
        self._loaded("/experiments/", since)

    def back(self) -> Truth:
        """Begun with the other document's own time, or when it is shown again: this one is left only later on a busy machine."""
        since = self._now()
        self.person.driver.back()
        begin = self.person.until("document|restored", since)
        return Truth(action="page_load", begin_ms=begin, end_ms=None)

    # searches

    def quick_search(self, words: str = "COVID_000", way: str = "click") -> Truth:
        field = self.person.find("#searchValue")
        field.clear()
        field.send_keys(words)
        since = self._now()
        if way == "enter":
            field.send_keys(Keys.ENTER)
            begin = self.person.until("keydown", since, "Enter")
        else:
            self.person.click("#search_btn")
            begin = self.person.until("click", since, "search_btn")
        one = words.endswith("CT1")
        end = self._loaded("/experiments/", begin) if one else self.person.until("drawn", begin, "listing .*ready")
        return Truth(action="filter_search", begin_ms=begin, end_ms=end)

    def _drawn(self, since: float, detail: str = "") -> Truth:
        begin = self.person.until("click", since, detail)
        return Truth(action="filter_search", begin_ms=begin, end_ms=self.person.until("drawn", begin, "listing .*ready"))

    def tab(self, element: str = "xnat:ctSessionData") -> Truth:
        since = self._now()
        self.person.click(f'#search_tabs a[data-element="{element}"]')
        return self._drawn(since)

    def sort(self, column: str = "LABEL", way: str = "down") -> Truth:
        self.person.click(f".listing:not(.hidden) th[data-column={column}] .column-menu-button")
        since = self._now()
        self.person.click(f".column-menu .sort-{way}")
        return self._drawn(since)

    def filter(self, words: str, column: str = "LABEL") -> Truth:
        self.person.click(f".listing:not(.hidden) th[data-column={column}] .column-menu-button")
        self.person.click(".column-menu .filter")
        field = self.person.find("dialog.filter-dialog .filter-value")
        field.clear()
        field.send_keys(words)
        since = self._now()
        self.person.click("dialog.filter-dialog .filter-submit")
        return self._drawn(since)

    def clear_filter(self) -> Truth:
        since = self._now()
        self.person.click(".listing:not(.hidden) .filter-clear")
        return self._drawn(since)

    def rows(self, number: int) -> Truth:
        since = self._now()
        self.person.find(".listing:not(.hidden) select.rows-per-page").send_keys(str(number))
        begin = self.person.until("change", since)
        return Truth(action="filter_search", begin_ms=begin, end_ms=self.person.until("drawn", begin, "listing .*ready"))

    def page(self, way: str = "next") -> Truth:
        since = self._now()
        self.person.click(f".listing:not(.hidden) .page-{way}")
        return self._drawn(since)

    def reload(self) -> Truth:
        since = self._now()
        self.person.click(".listing:not(.hidden) .listing-reload")
        return self._drawn(since)

    # files

    def _download(self, selector: str) -> Truth:
        before = set(self.person.downloads.iterdir())
        element = self.person.find(selector)
        self.person.run("arguments[0].scrollIntoView({block: 'center'})", element)
        since = self._now()
        self.person.act().click(element).perform()  # a plain click waits in Firefox for a page that never comes
        begin = self.person.until("click", since)

        def arrived() -> Path | None:
            new = set(self.person.downloads.iterdir()) - before
            whole = [path for path in new if path.suffix in (".zip", ".csv", ".xml") and path.stat().st_size]
            return whole[0] if len(whole) == len(new) == 1 else None

        found = wait_until(arrived, "the file", 60)
        assert found is not None
        return Truth(action="download", begin_ms=begin, end_ms=found.stat().st_mtime_ns / 1e6)

    def csv(self) -> Truth:
        return self._download(".listing:not(.hidden) .listing-csv")

    def download_scan(self) -> Truth:
        return self._download("a.download-scan")

    def download_scans(self) -> Truth:
        boxes = self.person.driver.find_elements(By.CSS_SELECTOR, "input.selectable-select-one")
        if not all(box.is_selected() for box in boxes):
            self.person.click("#toggle-all-scans")
        return self._download("button.do-scan-download:not(.disabled)")

    def ask_for_session(self) -> None:
        """The download page's first step: the choice, and its size in a dialog."""
        self.person.click("a[data-name=XDATScreen_download_sessions]")
        self.person.click("#direct-download")
        self.person.click("#download-form button[type=submit]")
        self.person.find("#download-go")

    def download_session(self) -> Truth:
        return self._download("#download-go")

    def upload(self, archive: Path) -> Truth:
        self.person.driver.get(self.url + "/app/template/CompressedUploaderPage.vm")
        self.person.find("#image_archive").send_keys(str(archive))
        self.person.click("#pc_0")
        since = self._now()
        self.person.click("#directButton")
        begin = self.person.until("click", since, "directButton")
        self.person.until("drawn", begin, "overallSummary")
        return Truth(action="upload", begin_ms=begin, end_ms=self.person.until("answer", begin, "/services/import"))

    # the viewer

    def open_viewer(self) -> Truth:
        since = self._now()
        self.person.click("#ohifViewer")
        begin = self.person.until("mousedown", since, "ohifViewer")
        self.person.until("cornerstoneimagerendered", begin)
        return Truth(action="open_viewer", begin_ms=begin, end_ms=self.person.quiet("slice", begin, "/scans/2/", 1500))

    def _changed(self, kind: str, since: float, detail: str) -> Truth:
        begin = self.person.until(kind, since, detail)
        self.person.until("cornerstonenewimage", begin)
        shown = self.person.until("cornerstoneimagerendered", begin)
        wait_until(lambda: self.person.now() - shown > 1500, "slices that may come")
        slices = [t for what, t, _ in self.person.truth() if what == "slice" and t >= begin]
        end = self.person.quiet("slice", begin, "", 1500) if slices else shown
        return Truth(action="change_scan", begin_ms=begin, end_ms=max(end, shown))

    def _scan(self, place: int) -> WebElement:
        return self.person.driver.find_elements(By.CSS_SELECTOR, "[data-cy=thumbnail-list]")[place]

    def change_by_click(self, place: int, times: int = 1) -> Truth:
        since = self._now()
        chain, scan = self.person.act(), self._scan(place)
        (chain.click(scan) if times == 1 else chain.double_click(scan)).perform()
        return self._changed("click", since, "")

    def change_by_drag(self, place: int) -> Truth:
        scan, pane = self._scan(place), self.person.find(PANE)
        since = self._now()
        slow = ActionChains(self.person.driver, duration=100)  # at once it would be no drag for the browser
        slow.move_to_element(scan).click_and_hold().move_by_offset(6, 6).move_by_offset(20, 10).move_to_element(
            pane
        ).release().perform()
        return self._changed("drop", since, "")

    def change_by_key(self, key: str) -> Truth:
        since = self._now()
        self.person.act().send_keys(key).perform()
        return self._changed("keydown", since, "Page")

    def _scrolled(self, kind: str, since: float) -> Truth:
        begin = self.person.until(kind, since)
        return Truth(action="scroll", begin_ms=begin, end_ms=self.person.quiet(kind, since, "", 500))

    def scroll_by_wheel(self, notches: int) -> Truth:
        since = self._now()
        self.person.wheel(notches)
        return self._scrolled("wheel", since)

    def scroll_by_keys(self, count: int) -> Truth:
        since = self._now()
        self.person.act().send_keys((Keys.ARROW_DOWN if count > 0 else Keys.ARROW_UP) * abs(count)).perform()
        return self._scrolled("keydown", since)

    def scroll_by_slider(self) -> Truth:
        slider = self.person.find("input.imageSlider")
        since = self._now()
        chain = self.person.act().move_to_element(slider).click_and_hold()
        for way in (30, 20, -40):
            chain.move_by_offset(0, way)
        chain.release().perform()
        return self._scrolled("input", since)

    def play(self, seconds: float = 1.0) -> Truth:
        if not self.person.driver.find_elements(By.CSS_SELECTOR, ".CineDialog"):
            self.person.click("[data-cy=cine]")
        since = self._now()
        self.person.click(PLAYER)
        begin = self.person.until("click", since)
        wait_until(lambda: self.person.now() - begin > seconds * 1000, "some images")
        since = self._now()
        self.person.click(PLAYER)
        return Truth(action="play", begin_ms=begin, end_ms=self.person.until("click", since))

    def measure(self) -> Truth:
        self.person.click("[data-cy=length]")
        pane = self.person.find(PANE)
        since = self._now()
        chain = self.person.act().move_to_element_with_offset(pane, 40, 40).click_and_hold()
        for _ in range(4):
            chain.move_by_offset(20, 12)
        chain.release().perform()
        begin = self.person.until("mousedown", since)
        return Truth(action="annotate", begin_ms=begin, end_ms=self.person.until("cornerstonetoolsmeasurementcompleted", begin))


def archive_of(folder: Path) -> Path:
    """A zip with one small DICOM slice, for an upload."""
    slice_ = dicom_slice(patient="UPLOAD_1", study="1.2.826.0.1.3680043.10.77.1", series="1.2.826.0.1.3680043.10.77.1.1",
                         series_number=1, instance=1, description="AXIAL")  # fmt: skip
    content = io.BytesIO()
    slice_.save_as(content, enforce_file_format=True)
    path = folder / "upload.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.dcm", content.getvalue())
    return path
