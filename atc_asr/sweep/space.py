"""What a sweep may change: `section.key=values`, one text for each parameter.

train.lr=1e-4,3e-4,1e-3        one of these (a single value fixes the parameter)
train.lr=log(1e-4, 1e-2)       a float, every order of magnitude equally likely
network.dropout=uniform(0, 0.3)
network.num_layers=int(4, 12)
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import Trial

from atc_asr.core.config import did_you_mean, read_yaml
from atc_asr.core.errors import InputError

RANGE = re.compile(r"(?P<kind>log|uniform|int)\((?P<low>[^,]+),(?P<high>[^,]+)\)")


@dataclass(frozen=True)
class Choice:
    """One of several values, as they are typed."""

    name: str
    values: tuple[str, ...]

    def suggest(self, trial: Trial) -> str:
        """The value a trial gives the parameter, as `dvc exp run -S` takes it."""
        return trial.suggest_categorical(self.name, self.values)


@dataclass(frozen=True)
class Range:
    """A number between two limits, both included."""

    name: str
    kind: str  # log, uniform or int
    low: float
    high: float

    def suggest(self, trial: Trial) -> str:
        """The value a trial gives the parameter, as `dvc exp run -S` takes it."""
        if self.kind == "int":
            return str(trial.suggest_int(self.name, int(self.low), int(self.high)))
        # Six digits: enough to tell runs apart, few enough to read.
        return f"{trial.suggest_float(self.name, self.low, self.high, log=self.kind == 'log'):.6g}"


def parse_range(name: str, found: re.Match, where: str) -> Range:
    """A range from its text.

    Raises:
        InputError: the limits are no numbers of its kind, or in the wrong order.
    """
    kind = found["kind"]
    try:
        low, high = float(found["low"]), float(found["high"])
    except ValueError as error:
        raise InputError(f"{where}: {error}, wanted {kind}(low, high)") from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"{where}: got {low:g} and {high:g}, wanted low < high")
    if kind == "int" and not (low.is_integer() and high.is_integer()):
        raise InputError(f"{where}: got {low:g} and {high:g}, wanted whole numbers")
    if kind == "log" and low <= 0:
        raise InputError(f"{where}: got {low:g}, wanted a lower limit > 0")
    return Range(name, kind, low, high)


def parse_parameter(text: str) -> Choice | Range:
    """One parameter of the space.

    Raises:
        InputError: the text is none of the four forms.
    """
    where = f"space: {text}"
    name, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not values:
        raise InputError(f"{where}: wanted section.key=values")
    found = RANGE.fullmatch(values)
    if found:
        return parse_range(name, found, where)
    if "(" in values:
        raise InputError(f"{where}: wanted log(low, high), uniform(low, high), int(low, high) or values with commas")
    choices = tuple(value.strip() for value in values.split(","))
    if "" in choices or len(set(choices)) < len(choices):
        raise InputError(f"{where}: got an empty value or one twice")
    return Choice(name, choices)


def parse_space(texts: Sequence[str]) -> list[Choice | Range]:
    """All parameters of the space.

    Raises:
        InputError: there is none, one is there twice, or a text cannot be read.
    """
    if not texts:
        raise InputError("space: is empty, wanted at least one section.key=values")
    parameters = [parse_parameter(text) for text in texts]
    names = [parameter.name for parameter in parameters]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"space: {twice[0]} is there twice")
    return parameters


def check_names(parameters: Sequence[Choice | Range], params_file: Path) -> None:
    """Refuse a parameter that params.yaml does not have, before the first run rather than in it.

    Raises:
        InputError: the parameter is not in the file.
    """
    known = flat_names(read_yaml(params_file))
    for parameter in parameters:
        if parameter.name not in known:
            raise InputError(f"space: {parameter.name} is not in {params_file}{did_you_mean(parameter.name, known)}")


def flat_names(content: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of all values of nested mappings."""
    names = []
    for key, value in content.items():
        name = f"{prefix}{key}"
        names += flat_names(value, f"{name}.") if isinstance(value, Mapping) else [name]
    return names


def grid_values(parameters: Sequence[Choice | Range]) -> dict[str, tuple[str, ...]]:
    """The values of each parameter of a grid.

    Raises:
        InputError: a parameter is a range.
    """
    for parameter in parameters:
        if isinstance(parameter, Range):
            raise InputError(f"space: {parameter.name} is a range, a grid wants values with commas")
    return {parameter.name: parameter.values for parameter in parameters}
