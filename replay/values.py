"""The values of `${name}` and `${env:NAME}` in a scenario, for one play."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from replay.locate import Locator
from replay.scenario_shape import Scalar, Scenario, ScenarioError

_REFERENCE = re.compile(r"\$\{(env:)?([A-Za-z_][A-Za-z0-9_]*)\}")


class Values:
    """The values of `${name}` and `${env:NAME}` for one play; what came from the environment is never shown again."""

    def __init__(self, scenario: Scenario, given: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self._file = scenario.file
        self._environment = environment
        self._parameters = dict(scenario.parameters)
        for name, value in given.items():
            self._parameters[name] = self._accept(name, value)

    def _accept(self, name: str, value: str) -> Scalar:
        declared = self._parameters.get(name)
        if declared is None:
            known = ", ".join(sorted(self._parameters)) or "none"
            raise ScenarioError(f"{self._file} has no parameter {name!r}", f"it has: {known}")
        if isinstance(declared, str):
            if "${env:" in declared:
                reference = declared.partition("${env:")[2].partition("}")[0]
                raise ScenarioError(
                    f"{name} is a credential", f"set the environment variable {reference}; a command line is visible to others"
                )
            return value
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ScenarioError(f"parameter {name} must be a number, not {value!r}", f"write for example {name}={declared}")
        return number

    def keep(self, name: str, value: str) -> None:
        """Give a parameter a value that was read from the page, for the rest of this play; refuses a credential."""
        if "${env:" in str(self._parameters.get(name, "")):
            raise ScenarioError(f"{self._file}: {name} is a credential", "store to another parameter")
        self._parameters[name] = value.replace("${", "$ {")  # what a page says is never a reference

    def number(self, name: str, otherwise: float) -> float:
        """A numeric parameter; `otherwise` where the scenario does not declare it."""
        value = self._parameters.get(name, otherwise)
        if isinstance(value, str) or value <= 0:
            raise ScenarioError(f"{self._file}: parameter {name} must be a number above 0", f"write for example {name}=1")
        return float(value)

    def fill(self, text: str) -> str:
        """The text with every reference replaced."""
        return self._fill(text, depth=0)

    def fill_keys(self, text: str) -> str:
        """Keys with every reference replaced; a brace in a value is a letter, not the name of a key."""
        return _REFERENCE.sub(lambda match: self.fill(match.group(0)).replace("{", "{{"), text)

    def fill_locator(self, locator: Locator) -> Locator:
        """The locator with every reference replaced; refuses values that could change its meaning."""
        if "${" not in locator.value:
            return locator
        for match in _REFERENCE.finditer(locator.value):
            value = self.fill(match.group(0))
            if match.group(1) or re.search(r"[\"'\\\[\]]", value):
                raise ScenarioError(
                    f"{self._file}: {match.group(0)} cannot stand in a locator", "use a parameter without quotes or brackets"
                )
        return Locator(strategy=locator.strategy, value=self.fill(locator.value))

    def check(self, texts: Sequence[str]) -> None:
        """Fill every text once, so that what is missing is missed before the browser starts."""
        for text in texts:
            self.fill(text)

    def _fill(self, text: str, depth: int) -> str:
        if depth > 4:
            raise ScenarioError(f"{self._file}: a parameter refers to itself", "break the circle")

        def value_of(match: re.Match[str]) -> str:
            name = match.group(2)
            if match.group(1):
                value = self._environment.get(name)
                if not value:
                    raise ScenarioError(
                        f"{self._file} needs the environment variable {name}",
                        f"set {name}; credentials are never written into a scenario",
                    )
                return value
            if name not in self._parameters:
                raise ScenarioError(f"{self._file}: ${{{name}}} is not a parameter", "declare it under parameters")
            return self._fill(str(self._parameters[name]), depth + 1)

        return _REFERENCE.sub(value_of, text)


def texts_of(scenario: Scenario) -> list[str]:
    """Every text of the steps in which a reference may stand."""
    texts = [step.text for step in scenario.steps]
    for step in scenario.steps:
        if step.kind != "unsupported":
            texts += [value for value in step.options.values() if isinstance(value, str)]
        texts += [locator.value for locator in step.onto]
        expectations = (*step.expect, *step.refuse)
        texts += [str(value) for expectation in expectations for value in expectation.options.values()]
        texts += [locator.value for locator in step.targets]
        texts += [locator.value for expectation in expectations for locator in expectation.targets]
    return texts
