# SPDX-License-Identifier: Apache-2.0
"""The files that go with the exporter: rules, dashboards, routing, runbooks, manifests, default configuration."""

from openai_exporter.bundle.contents import PACKAGED, PARTS, Part, bundle_root, part_files
from openai_exporter.bundle.writing import Copy, copies, write

__all__ = ["PACKAGED", "PARTS", "Copy", "Part", "bundle_root", "copies", "part_files", "write"]
