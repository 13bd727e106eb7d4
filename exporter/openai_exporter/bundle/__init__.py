# SPDX-License-Identifier: Apache-2.0
"""The files that go with the exporter: rules, dashboards, routing, runbooks, manifests, default configuration."""

from openai_exporter.bundle.contents import PARTS, Part, bundle_root, part_files
from openai_exporter.bundle.writing import Copy, copies, write

__all__ = ["PARTS", "Copy", "Part", "bundle_root", "copies", "part_files", "write"]
