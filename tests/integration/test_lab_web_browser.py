"""The practice web application in a real browser: log in, filter, download, look at images in the real viewer, log out."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from replay.lab.faults import LabFault
from replay.lab.folders import cache_directory
from replay.lab.viewer import unpacked_viewer
from tests.support.lab_web import LabWeb, postgres_folder, postgres_server, running_lab_web, write_archive
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(postgres_folder() is None, reason="PostgreSQL is not installed (apt-get install postgresql)"),
    pytest.mark.skipif(shutil.which("chromedriver") is None, reason="no chromedriver (apt-get install chromium-driver)"),
]

SLICES = 10
BRIGHT_PIXELS = """
const canvas = document.querySelector('canvas.cornerstone-canvas');
if (!canvas || !canvas.width) return 0;
const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
let bright = 0;
for (let at = 0; at < data.length; at += 4) if (data[at] > 150) bright += 1;
return bright;
"""


@pytest.fixture(scope="module", params=["", "/xnat"], ids=["root", "context path"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabWeb]:
    try:
        viewer = unpacked_viewer(cache_directory(os.environ))
    except LabFault as fault:
        pytest.skip(f"no viewer: {fault}")
    folder = tmp_path_factory.mktemp("lab")
    (folder / "archive").mkdir()
    write_archive(folder / "archive", catalogue_sessions=60, slices=SLICES)
    with postgres_server() as url, running_lab_web(folder, url, viewer=viewer, context_path=request.param) as running:
        yield running


class Browser:
    """Headless Chromium with downloads in a folder."""

    def __init__(self, downloads: Path) -> None:
        self.downloads = downloads
        options = webdriver.ChromeOptions()
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
            options.add_argument(argument)
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        return wait_until(lambda: [found for found in self.all(selector) if found.is_displayed()], selector)[0]

    def log_in(self, lab: LabWeb) -> None:
        self.driver.get(lab.url)
        if self.all("#logout_user"):
            return
        self.one("#username").send_keys("radiologist")
        self.one("#password").send_keys(lab.users["radiologist"])
        self.one("#loginButton").click()
        self.one("#logout_user")

    def rendered(self, element: str, loads: int) -> WebElement:
        holder = self.one(f'.listing[data-element="{element}"]')
        wait_until(
            lambda: holder.get_attribute("data-state") == "ready" and holder.get_attribute("data-loads") == str(loads),
            f"rendering {loads} of {element}",
        )
        return holder


@pytest.fixture(scope="module")
def started(lab: LabWeb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    one = Browser(tmp_path_factory.mktemp("downloads"))
    yield one
    one.driver.quit()


@pytest.fixture
def browser(lab: LabWeb, started: Browser) -> Browser:
    """The browser with somebody logged in."""
    started.log_in(lab)
    return started


def test_a_listing_is_filtered_and_leads_to_the_session(lab: LabWeb, browser: Browser) -> None:
    browser.one('#project_list a[data-project="COVID19_CT"]').click()
    browser.rendered("xnat:subjectData", 1)
    browser.one('#search_tabs a[data-element="xnat:ctSessionData"]').click()
    holder = browser.rendered("xnat:ctSessionData", 1)
    assert holder.get_attribute("data-total") == "41"
    browser.one('.listing[data-element="xnat:ctSessionData"] th[data-column=LABEL] .column-menu-button').click()
    browser.one(".column-menu .filter").click()
    browser.one("dialog.filter-dialog .filter-value").send_keys("0001_CT")
    browser.one("dialog.filter-dialog .filter-submit").click()
    holder = browser.rendered("xnat:ctSessionData", 2)
    assert holder.get_attribute("data-total") == "1"
    browser.one('.listing[data-element="xnat:ctSessionData"] tr[data-id="XNAT_E00001"] a').click()
    assert browser.one("tr#scan-2").get_attribute("data-scan") == "2"
    asked = [line for line in lab.tomcat_lines() if "/REST/search?" in line]
    assert any("refresh=true" in line for line in asked)


def test_scans_are_downloaded_by_link_and_by_boxes(lab: LabWeb, browser: Browser) -> None:
    browser.driver.get(f"{lab.url}/data/experiments/XNAT_E00001")
    browser.one("a.download-scan[data-id='2']").click()
    wait_until(lambda: len(list(browser.downloads.glob("*.zip"))) == 1, "the scan downloaded by its link")
    button = browser.one("button.do-scan-download")
    assert "disabled" in (button.get_attribute("class") or "")
    browser.one("#toggle-all-scans").click()
    assert "disabled" not in (button.get_attribute("class") or "")
    button.click()
    wait_until(lambda: len(list(browser.downloads.glob("*.zip"))) == 2, "both scans")
    sizes = sorted(path.stat().st_size for path in browser.downloads.glob("*.zip"))
    assert sizes[1] > 1.8 * sizes[0]


def test_the_real_viewer_shows_images_and_changes_scans(lab: LabWeb, browser: Browser) -> None:
    browser.driver.get(f"{lab.url}/data/experiments/XNAT_E00001")
    browser.one("a#ohifViewer").click()
    wait_until(lambda: len(browser.all("[data-cy=thumbnail-list]")) == 2, "two thumbnails", timeout_s=60)
    wait_until(lambda: browser.driver.title == "COVID_0001_CT1 | XNAT OHIF Viewer", "the title")
    assert browser.driver.current_url == (
        f"{lab.url}/VIEWER?subjectId=XNAT_S00001&projectId=COVID19_CT&experimentId=XNAT_E00001&experimentLabel=COVID_0001_CT1"
    )
    wait_until(lambda: browser.driver.execute_script(BRIGHT_PIXELS) > 500, "the bright disc of the first slice")
    browser.all("[data-cy=thumbnail-list] > *")[1].click()
    wait_until(lambda: "Ser: 3" in browser.one(".bottom-left.overlay-element").text, "the second scan")
    wait_until(lambda: browser.driver.execute_script(BRIGHT_PIXELS) > 500, "the bright disc of the second scan")
    wait_until(
        lambda: len([line for line in lab.tomcat_lines() if "/scans/3/resources/DICOM/files/" in line]) == SLICES,
        "every slice of the second scan to be fetched once",
    )


def test_logging_out_shows_the_login_page(browser: Browser) -> None:
    browser.one("#logout_user").click()
    assert browser.one("#login_form")
    browser.driver.back()
    browser.driver.refresh()
    assert browser.one("#login_form")
