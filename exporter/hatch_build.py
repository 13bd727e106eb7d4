# SPDX-License-Identifier: Apache-2.0
"""The README for the package index, where a relative link leads nowhere: links become those of this version's tag."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

REPOSITORY = "openai-exporter/openai-exporter"
_LINK = re.compile(r"(!?)(\[[^\]]*\]\()(?!https?:|mailto:|#)([^)\s]+)\)")


def absolute(text: str, version: str) -> str:
    """Markdown whose links and images name their place on GitHub."""

    def place(match: re.Match[str]) -> str:
        image, label, path = match.groups()
        host = f"https://raw.githubusercontent.com/{REPOSITORY}" if image else f"https://github.com/{REPOSITORY}/blob"
        return f"{image}{label}{host}/v{version}/{path})"

    return _LINK.sub(place, text)


class ReadmeHook(MetadataHookInterface):
    """Reads README.md when metadata is made."""

    def update(self, metadata: dict[str, Any]) -> None:
        root = Path(self.root)
        source = (root / "exporter/openai_exporter/__init__.py").read_text(encoding="utf-8")
        (version,) = re.findall(r'^__version__ = "(.+)"$', source, re.MULTILINE)
        text = absolute((root / "README.md").read_text(encoding="utf-8"), version)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
