"""The live page in a real browser: what can be done with it, by pointer and by keyboard."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from tests.support.live_page import Page
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser


def test_pause_stops_the_page_and_back_to_live_moves_it_again(page: Page) -> None:
    page.open()
    page.find("#pause").click()
    assert page.text("#pause") == "Back to live"
    assert page.text("#live-text").startswith("paused at ")
    still = page.range()
    asked = page.js("return performance.getEntriesByType('resource').filter((one) => one.name.includes('/samples')).length")
    page.grow()
    # health is asked every five seconds while paused: when two of its answers are in, the curves had time to move
    script = "return performance.getEntriesByType('resource').filter((one) => one.name.includes('/health')).length"
    seen = page.js(script)
    wait_until(lambda: page.js(script) >= seen + 1, "time to pass")
    assert page.range() == still
    again = page.js("return performance.getEntriesByType('resource').filter((one) => one.name.includes('/samples')).length")
    assert again <= asked + 3  # what was under way when the button was pressed
    page.find("#pause").click()
    wait_until(lambda: page.range()[1] > still[1], "the page to move")
    assert page.text("#pause") == "Pause"


def test_dragging_zooms_and_escape_goes_back_to_live(page: Page) -> None:
    page.open()
    page.hold()
    low, high = page.range()
    over = page.find(".plot[data-container=xnat-web] .u-over")
    width = over.size["width"]
    chain = ActionChains(page.driver).move_to_element_with_offset(over, round(width * -0.2), 0).click_and_hold()
    chain.move_by_offset(round(width * 0.1), 0).release().perform()
    wait_until(lambda: page.range()[1] - page.range()[0] < (high - low) * 0.2, "the zoom")
    near, far = page.range()
    assert near == pytest.approx(low + 0.3 * (high - low), abs=5000)
    assert far == pytest.approx(low + 0.4 * (high - low), abs=5000)
    wait_until(lambda: "looking back" in page.text("#live-text"), "the state")
    page.find(".plot[data-container=xnat-web]").send_keys(Keys.ESCAPE)
    wait_until(lambda: page.range()[1] - page.range()[0] == pytest.approx(900e3), "the whole range")


def test_ranges_are_picked_and_the_usage_table_follows(page: Page) -> None:
    page.open()
    page.find("[data-range='300']").click()
    wait_until(lambda: page.range()[1] - page.range()[0] == pytest.approx(300e3), "five minutes")
    assert page.find("[data-range='300']").get_attribute("aria-pressed") == "true"
    page.find("[data-range='900']").click()
    wait_until(lambda: page.js("return document.querySelectorAll('.usage tbody').length") >= 8, "the table of fifteen minutes")


def test_a_range_of_ones_own_is_given_in_local_time(page: Page) -> None:
    page.open()
    page.hold()
    low, _ = page.range()
    page.find("#custom").click()
    wait_until(lambda: page.find("#range-dialog").is_displayed(), "the dialog")
    page.js("document.querySelector('#range-to').value = document.querySelector('#range-from').value")
    page.find("#range-form .main").click()
    assert page.text("#range-wrong") == "From must be earlier than To."
    local = "new Date(arguments[0] - 60000 * new Date(arguments[0]).getTimezoneOffset()).toISOString().slice(0, 19)"
    page.js(f"document.querySelector('#range-to').value = {local}", low + 60_000)
    page.find("#range-form .main").click()
    wait_until(lambda: page.range()[1] - page.range()[0] < 62_000, "the minute")
    assert page.range()[0] == pytest.approx(low, abs=2500)
    assert not page.find("#range-dialog").is_displayed()


def test_the_theme_can_be_chosen_against_the_systems_and_is_kept(page: Page) -> None:
    page.open(theme="dark")
    background = "return getComputedStyle(document.body).backgroundColor"
    dark = page.js(background)
    page.find("#theme").click()
    light = page.js(background)
    assert light != dark
    page.open(theme="dark")
    assert page.js(background) == light
    page.js("localStorage.clear()")
    page.open(theme="dark")
    assert page.js(background) == dark


def test_the_usage_table_can_be_a_roles_as_in_the_study(page: Page) -> None:
    page.open()
    assert "DOWNLOAD & LOGOUT" not in page.text("#usage-body")
    page.find("[data-table=researcher]").click()
    wait_until(lambda: "DOWNLOAD & LOGOUT" in page.text("#usage-body"), "the sum")
    assert "OPEN VIEWER" not in page.text("#usage-body")
    page.find("[data-table=radiologist]").click()
    wait_until(lambda: "OPEN VIEWER" in page.text("#usage-body"), "the radiologist's table")
    assert "DOWNLOAD" not in page.text("#usage-body")


def test_everything_can_be_done_with_the_keyboard(page: Page) -> None:
    page.open()
    chart = page.find(".plot[data-container=xnat-web]")
    page.js("arguments[0].focus()", chart)
    chart.send_keys(Keys.HOME)
    for _ in range(3):
        chart.send_keys(Keys.SHIFT, Keys.ARROW_RIGHT)
    wait_until(lambda: "xnat-web" in page.text("#spoken"), "the value, told to a screen reader")
    before = page.range()
    chart.send_keys("+")
    wait_until(lambda: page.range()[1] - page.range()[0] < (before[1] - before[0]) * 0.6, "the zoom by key")
    page.js("arguments[0].focus()", chart)
    chart.send_keys(Keys.ESCAPE)
    lanes = page.find("#lanes")
    wait_until(lambda: page.js("return Number(document.querySelector('#lanes').dataset.bars)") > 10, "the lanes")
    page.js("arguments[0].focus()", lanes)
    lanes.send_keys(Keys.ARROW_RIGHT)
    wait_until(lambda: "LOGIN" in page.text("#spoken"), "the first action's name")
    lanes.send_keys(Keys.ARROW_RIGHT)
    wait_until(lambda: "PAGE LOAD" in page.text("#spoken"), "the next one's")
    assert "CPU-s" in page.text("#tip")


def test_filters_take_away_what_is_not_wanted(page: Page) -> None:
    page.open()
    bars = "return Number(document.querySelector('#lanes').dataset.bars)"
    whole = int(page.js(bars))
    session = page.lab.sessions[1].session
    Select(page.find("#session")).select_by_value(session)
    alone = wait_until(lambda: (found := int(page.js(bars))) < whole and found, "one session")
    assert alone == sum(action.session == session for action in page.lab.actions)
    Select(page.find("#session")).select_by_value("")
    wait_until(lambda: int(page.js(bars)) == whole, "all sessions")
    page.driver.find_element(By.XPATH, "//button[contains(@class,'chip')][contains(.,'OPEN VIEWER')]").click()
    viewers = sum(action.action == "open_viewer" for action in page.lab.actions)
    wait_until(lambda: int(page.js(bars)) == whole - viewers, "OPEN VIEWER gone")
    wait_until(lambda: "OPEN VIEWER" not in page.text("#usage-body"), "its rows gone")
    Select(page.find("#source")).select_by_value("access-log")
    wait_until(lambda: int(page.js(bars)) == 0, "no action of the access log")
    assert "tracemark replay" in page.text("#lanes-empty")
