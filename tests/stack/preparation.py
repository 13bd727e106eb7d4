# SPDX-License-Identifier: Apache-2.0
"""The program of the service `prepare`, which is a file of its own and no module of a package."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2] / "deploy" / "compose" / "prepare.py"


def _module() -> Any:
    spec = importlib.util.spec_from_file_location("prepare", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["prepare"] = module
    spec.loader.exec_module(module)
    return module


prepare = _module()
