"""Which tests come first; and SpeechBrain's lazy modules, which raise ImportError when hypothesis asks every loaded
module for its `__file__`."""

import sys
from types import ModuleType

import pytest


def _tame_lazy_modules() -> None:
    importutils = sys.modules.get("speechbrain.utils.importutils")
    if importutils is None or getattr(importutils.LazyModule, "tamed", False):
        return
    load = importutils.LazyModule.__getattr__

    def getattr_unless_dunder(module: ModuleType, name: str) -> object:
        if name == "__file__":
            raise AttributeError(name)
        return load(module, name)

    importutils.LazyModule.__getattr__ = getattr_unless_dunder
    importutils.LazyModule.tamed = True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """After the test modules are imported, before hypothesis looks at them.

    Modules with slow tests come first, so that at the end no process waits for another's slow module; by their names,
    which keeps test_pipeline and test_readme, which wait for the same `dvc repro`, apart.
    """
    _tame_lazy_modules()
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, item.path.name if item.path in slow else ""))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """For SpeechBrain imported by an earlier test."""
    _tame_lazy_modules()
