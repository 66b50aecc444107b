"""Dependencies of the package: the parts of requirements.txt, so that their versions are in one file."""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface


def pins(title: str) -> list[str]:
    """The requirements of a part of requirements.txt, which begins with `# <title>`."""
    text = (Path(__file__).parent / "requirements.txt").read_text(encoding="utf-8")
    part = next(part for part in text.split("\n\n") if part.startswith(f"# {title}"))
    return re.findall(r"^[^#\s]+", part, re.MULTILINE)


class CustomMetadataHook(MetadataHookInterface):
    """Adds the dependencies to the metadata of the package."""

    def update(self, metadata: dict) -> None:
        """Fill `dependencies` and the extra `train`."""
        metadata["dependencies"] = pins("Transcription")
        metadata["optional-dependencies"] = {"train": pins("Training")}
