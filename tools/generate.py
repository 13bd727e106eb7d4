# SPDX-License-Identifier: Apache-2.0
"""Writes the generated files of the repository, or with --check says which of them are stale.

Each producer owns some files by pattern, so that one which is no longer produced is removed, or reported.
"""

import argparse
import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from openai_exporter.errors import ExporterError
from openai_exporter.rules import bundle

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]  # run as a script, only tools/ itself is on the path


@dataclass(frozen=True, slots=True)
class Product:
    """What a producer makes.

    Attributes:
        owned: glob patterns, relative to the root, of every file that it may have written, now or before.
        files: path relative to the root -> text.
    """

    owned: tuple[str, ...]
    files: Mapping[str, str]


Producer = Callable[[Path], Product]


@functools.cache
def _compiled(root: Path) -> Mapping[str, str]:
    return bundle.compile_bundle(root / "alerting", root, operator=True).files


def compiled(root: Path) -> Product:
    """What `openai-exporter bundle` compiles: rules, routing, dashboards, resources of the Prometheus Operator."""
    # The template is a source here; what links of settings.yml change of it, a bundle in another directory has.
    files = {path: text for path, text in _compiled(root).items() if path != bundle.TEMPLATE}
    owned = ("prometheus/rules/alerts-*.yml", "prometheus/rules/recording-*.yml", "dashboards/generated/*.json")
    return Product(owned, files)


def alerts(root: Path) -> Product:
    """The catalogue of alerts."""
    from tools import alerts as page

    files = [yaml.safe_load(text) for path, text in _compiled(root).items() if "/alerts-" in path]
    return Product((page.PAGE,), {page.PAGE: page.catalogue([group for file in files for group in file["groups"]])})


def reference(root: Path) -> Product:
    """The reference tables of docs/reference/ and the JSON Schemas."""
    from tools import docs

    found = docs.files(root)
    return Product(tuple(found), found)


PRODUCERS: tuple[Producer, ...] = (compiled, alerts, reference)


def stale(root: Path, products: Iterable[Product]) -> list[str]:
    """One line for each file that is missing, differs, or should not be there."""
    found = []
    for product in products:
        for path in _extra(root, product):
            found.append(f"{path}: is no longer generated; remove it")
        for path, text in product.files.items():
            file = root / path
            if not file.is_file():
                found.append(f"{path}: is missing")
            elif file.read_bytes() != text.encode():
                found.append(f"{path}: differs from its source")
    return found


def write(root: Path, products: Iterable[Product]) -> list[str]:
    """Bring the files up to date; returns the lines of `stale`, each now repaired."""
    products = list(products)
    found = stale(root, products)
    for product in products:
        for path in _extra(root, product):
            (root / path).unlink()
        for path, text in product.files.items():
            _replace(root / path, text.encode())
    return found


def _replace(file: Path, content: bytes) -> None:
    """Whole or not at all, and untouched when it is right: Prometheus or a test may be reading it."""
    if file.is_file() and file.read_bytes() == content:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.new")
    beside.write_bytes(content)
    beside.replace(file)


def _extra(root: Path, product: Product) -> list[str]:
    present = {path.relative_to(root).as_posix() for pattern in product.owned for path in root.glob(pattern)}
    return sorted(present - set(product.files))


def main(arguments: list[str] | None = None) -> int:
    """Run; 0 when all is well, 1 when files are stale (--check) or a source does not compile."""
    parser = argparse.ArgumentParser(description="Write the generated files.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository (default: this one)")
    options = parser.parse_args(arguments)
    try:
        products = [producer(options.root) for producer in PRODUCERS]
    except ExporterError as error:
        for line in str(error).splitlines():
            print(f"generate: {line}", file=sys.stderr)
        return 1
    if options.check:
        found = stale(options.root, products)
        for line in found:
            print(f"generate: {line}", file=sys.stderr)
        if found:
            print("generate: run `make generate` and commit the result", file=sys.stderr)
        return 1 if found else 0
    for line in write(options.root, products):
        print(f"generate: {line.split(':')[0]} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
