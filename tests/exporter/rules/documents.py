# SPDX-License-Identifier: Apache-2.0
"""Files of thresholds for tests."""

from typing import Any

import yaml

ENTRY: dict[str, Any] = {
    "name": "high latency",
    "metric": "p95_latency",
    "operator": ">",
    "threshold": "5s",
    "for": "2m",
    "severity": "warning",
}


def document(*entries: dict[str, Any], **settings: Any) -> str:
    """A file with these thresholds, each laid over a valid one; a value of `...` leaves the key out."""
    thresholds = [
        {key: value for key, value in (ENTRY | {"name": f"entry {number}"} | entry).items() if value is not ...}
        for number, entry in enumerate(entries)
    ]
    data = {"settings": settings} if settings else {}
    return yaml.safe_dump(data | {"thresholds": thresholds}, sort_keys=False)
