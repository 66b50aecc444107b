"""The order of the test modules, and a workaround: SpeechBrain's lazy modules raise ImportError when hypothesis reads
the `__file__` of every loaded module."""

import sys
from types import ModuleType

import pytest


def _hide_file_of_lazy_modules() -> None:
    importutils = sys.modules.get("speechbrain.utils.importutils")
    if importutils is None or getattr(importutils.LazyModule, "file_hidden", False):
        return
    load = importutils.LazyModule.__getattr__

    def getattr_unless_dunder(module: ModuleType, name: str) -> object:
        if name == "__file__":
            raise AttributeError(name)
        return load(module, name)

    importutils.LazyModule.__getattr__ = getattr_unless_dunder
    importutils.LazyModule.file_hidden = True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put modules with slow tests first, so that no process idles at the end, and apply the workaround.

    Slow modules are ordered by name.
    """
    _hide_file_of_lazy_modules()
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, item.path.name if item.path in slow else ""))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Apply the workaround where an earlier test imported SpeechBrain."""
    _hide_file_of_lazy_modules()
