# SPDX-License-Identifier: Apache-2.0
"""The files that go with the exporter: rules, dashboards, routing, runbooks, manifests, default configuration."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from openai_exporter.errors import StartError
from openai_exporter.files import write_atomically

PACKAGED = "_bundle"
"""Folder inside the package; pyproject.toml puts the files there when it builds a wheel."""
_PROOF = "mixin.libsonnet"

State = Literal["new", "same", "differs"]


@dataclass(frozen=True, slots=True)
class Part:
    """Some files of the bundle that are used together.

    Attributes:
        paths: files and folders, relative to the bundle's root.
        use: what to do with them, for --help and for the end of `openai-exporter bundle`.
    """

    paths: tuple[str, ...]
    use: str


@dataclass(frozen=True, slots=True)
class Copy:
    """One file to be written.

    Attributes:
        path: relative to both folders.
        state: `new`, `same` (there already, byte for byte) or `differs` (there, and not the same).
    """

    path: Path
    state: State


PARTS: Mapping[str, Part] = {
    "exporter": Part(
        ("exporter/exporter.yml", "exporter/exporter.schema.json"),
        "the default configuration with its JSON Schema: openai-exporter --config.file=exporter/exporter.yml",
    ),
    "prometheus": Part(
        ("prometheus",),
        "prometheus.yml, rule files, remote write: add prometheus/rules/*.yml to rule_files",
    ),
    "alerting": Part(
        ("alerting",),
        "Alertmanager configuration and templates, runbooks, your own thresholds (openai-exporter rules build)",
    ),
    "dashboards": Part(
        ("dashboards",),
        "Grafana pages in dashboards/generated, provisioning in dashboards/provisioning",
    ),
    "mixin": Part(
        ("mixin.libsonnet", "jsonnetfile.json", "alerting", "dashboards"),
        "the Jsonnet sources, for jsonnet-bundler, Tanka and kube-prometheus",
    ),
    "kubernetes": Part(
        ("deploy/kubernetes", "dashboards"),
        "Kustomize base and overlays: kubectl apply -k deploy/kubernetes/overlays/operator",
    ),
    "systemd": Part(("deploy/systemd", "exporter/exporter.yml"), "unit and settings for a Debian server"),
}
"""The parts by name, in the order of --help."""


def bundle_root() -> Path:
    """The folder that holds the bundle.

    Raises:
        StartError: the package was installed without it.
    """
    package = Path(__file__).resolve().parent
    for root in (package / PACKAGED, package.parent.parent):
        if (root / _PROOF).is_file():
            return root
    raise StartError(f"{package / PACKAGED} is missing: install openai-exporter from its wheel or sdist again")


def part_files(root: Path, names: tuple[str, ...]) -> Iterator[Path]:
    """Every file of the parts of these names, relative to the root, sorted; each once."""
    paths = {path for name in names for path in PARTS[name].paths}
    yield from sorted({file.relative_to(root) for path in paths for file in _files(root / path)})


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for child in sorted(path.iterdir()) if path.is_dir() else ():
        # What an editor, an interpreter or an interrupted `make generate` leaves in a source tree.
        if not child.name.startswith((".", "__pycache__")):
            yield from _files(child)


def copies(root: Path, into: Path, paths: Iterable[Path]) -> list[Copy]:
    """What there is to do for each file; writes nothing."""
    return [Copy(path, _state(root / path, into / path)) for path in paths]


def _state(source: Path, target: Path) -> State:
    if not os.path.lexists(target):
        return "new"
    return "same" if target.is_file() and target.read_bytes() == source.read_bytes() else "differs"


def write(root: Path, into: Path, planned: Iterable[Copy]) -> None:
    """Write every file that is not there yet as it should be; each whole or not at all.

    Raises:
        StartError: a file cannot be written; the message names it.
    """
    for copy in planned:
        if copy.state != "same":
            target = into / copy.path
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(target, (root / copy.path).read_bytes().decode())
            except OSError as error:
                raise StartError(f"{target}: cannot be written: {error.strerror}") from error
