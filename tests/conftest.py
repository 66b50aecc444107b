"""SpeechBrain's lazy modules raise ImportError when hypothesis asks every loaded module for its `__file__`."""

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
def pytest_collection_modifyitems() -> None:
    """After the test modules are imported, before hypothesis looks at them."""
    _tame_lazy_modules()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """For SpeechBrain imported by an earlier test."""
    _tame_lazy_modules()
