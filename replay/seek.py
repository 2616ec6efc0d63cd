"""Finding elements through the driver, also by what a person calls them and through shadow roots."""

from __future__ import annotations

from typing import Any

from selenium import webdriver
from selenium.common import exceptions

from replay.locate import SOUGHT, STRATEGIES, BadLocatorError, Locator

#: accessible names as most of the accessible-name rules give them; enough to find what a recording names
_SEEK = """
const [strategy, value] = arguments, tidy = (text) => (text ?? "").replace(/\\s+/g, " ").trim();
const every = function* (root) {
  for (const one of root.querySelectorAll("*")) { yield one; if (one.shadowRoot) yield* every(one.shadowRoot); }
};
if (strategy === "shadow") {
  if (!value.includes(">>>")) return [...every(document)].filter((one) => one.matches(value));
  let roots = [document], found = [];
  for (const selector of value.split(">>>").map((one) => one.trim())) {
    found = roots.flatMap((root) => [...root.querySelectorAll(selector)]);
    roots = found.map((one) => one.shadowRoot ?? one);
  }
  return found;
}
const spoken = "a, button, label, summary, option, h1, h2, h3, h4, h5, h6, th, td, li, legend, [role], [tabindex]";
const named = (one) => tidy(
  one.getAttribute("aria-label")
  || (one.getAttribute("aria-labelledby") ?? "").split(/\\s+/).filter(Boolean)
       .map((id) => one.ownerDocument.getElementById(id)?.textContent ?? "").join(" ")
  || [...(one.labels ?? [])].map((label) => label.textContent).join(" ")
  || one.getAttribute("alt") || (one.matches("input[type=submit], input[type=button], input[type=reset]") && one.value)
  || (one.matches(spoken) && one.textContent)
  || one.getAttribute("title") || one.getAttribute("placeholder"));
const wanted = tidy(value), found = [];
for (const one of every(document)) {
  if (one.matches("script, style, head, head *")) continue;
  const fits = strategy === "aria" ? named(one) === wanted
    : tidy(one.textContent) === wanted && ![...one.children].some((child) => tidy(child.textContent) === wanted);
  if (fits) found.push(one);
}
return found;"""


def elements_of(driver: webdriver.Remote, locator: Locator) -> list[Any]:
    """All elements that fit, in the order of the page; BadLocatorError when the browser cannot read the locator."""
    try:
        if locator.strategy in SOUGHT:
            return list(driver.execute_script(_SEEK, locator.strategy, locator.value))
        return list(driver.find_elements(STRATEGIES[locator.strategy], locator.value))
    except exceptions.InvalidSelectorException as error:
        raise BadLocatorError(f"{locator} cannot be read by the browser", "correct it, or give another locator") from error
    except (exceptions.JavascriptException, exceptions.InvalidElementStateException) as error:
        if "not a valid selector" in str(error):
            raise BadLocatorError(f"{locator} cannot be read by the browser", "correct it, or give another locator") from error
        raise
