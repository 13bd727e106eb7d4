# SPDX-License-Identifier: Apache-2.0
"""`python -m bench [NAME ...]`: run the named measurements, or all of them, one after the other."""

import importlib
import pkgutil
import sys

import bench

HELPERS = {"__main__", "month", "processes", "references", "scrapers"}


def main(wanted: list[str]) -> int:
    """Run them; returns the exit status."""
    names = [each.name for each in pkgutil.iter_modules(bench.__path__) if each.name not in HELPERS]
    unknown = [name for name in wanted if name not in names]
    if unknown:
        print(f"bench: no measurement {unknown[0]!r}; there are: {', '.join(names)}", file=sys.stderr)
        return 2
    for name in wanted or names:
        module = importlib.import_module(f"bench.{name}")
        print(f"\n== {name}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
        module.main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
