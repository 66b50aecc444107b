"""The search space of a sweep: one text `section.key=values` per parameter.

train.lr=1e-4,3e-4,1e-3        one of these values (a single value fixes the parameter)
train.lr=log(1e-4, 1e-2)       a float, log-uniform
model.dropout=uniform(0, 0.3)  a float, uniform
model.num_layers=int(4, 12)    an integer, both limits included
"""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dvc.utils.flatten import flatten
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from atc_asr.core.config import did_you_mean, read_yaml
from atc_asr.core.errors import InputError

RANGE = re.compile(r"(log|uniform|int)\(([^,]+),([^,]+)\)")


def parse_space(texts: Sequence[str]) -> dict[str, BaseDistribution]:
    """Optuna's distribution of each parameter, by name.

    Raises:
        InputError: the space is empty, names a parameter twice, or has a text of another form.
    """
    if not texts:
        raise InputError("space: is empty, wanted at least one section.key=values")
    space: dict[str, BaseDistribution] = {}
    for text in texts:
        name, _, values = (part.strip() for part in text.partition("="))
        if name in space:
            raise InputError(f"space: {name} is there twice")
        try:
            space[name] = _parse_values(values)
        except ValueError as error:
            raise InputError(f"space: {text}: {error}") from error
    return space


def _parse_values(values: str) -> BaseDistribution:
    """The distribution that the text right of `=` describes; ValueError for a text of another form."""
    if not values:
        raise ValueError("wanted section.key=values")
    match = RANGE.fullmatch(values)
    if not match:
        if "(" in values:
            raise ValueError("wanted log(low, high), uniform(low, high), int(low, high) or values with commas")
        choices = [value.strip() for value in values.split(",")]
        if "" in choices or len(set(choices)) < len(choices):
            raise ValueError("got an empty value or one twice")
        return CategoricalDistribution(choices)
    kind = match[1]
    try:
        low, high = float(match[2]), float(match[3])
    except ValueError as error:
        raise ValueError(f"{error}, wanted {kind}(low, high)") from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"got {low:g} and {high:g}, wanted low < high")
    if kind == "int":
        if not (low.is_integer() and high.is_integer()):
            raise ValueError(f"got {low:g} and {high:g}, wanted whole numbers")
        return IntDistribution(int(low), int(high))
    if kind == "log" and low <= 0:
        raise ValueError(f"got {low:g}, wanted a lower limit > 0")
    return FloatDistribution(low, high, log=kind == "log")


def check_names(names: Iterable[str], params_file: Path) -> None:
    """Check that the parameters of the space are in params.yaml.

    Raises:
        InputError: a parameter is not in the file.
    """
    known = flatten(read_yaml(params_file))
    for name in names:
        if name not in known:
            raise InputError(f"space: {name} is not in {params_file}{did_you_mean(name, known)}")


def format_value(value: Any) -> str:
    """A parameter's value as `dvc exp run --set-param` takes it; floats with six significant digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
