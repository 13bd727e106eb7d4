# SPDX-License-Identifier: Apache-2.0
"""What is asked of an API, before any client has shaped it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Files = Mapping[str, tuple[str, bytes, str]]
"""Form fields that are files: (name, content, media type)."""


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call.

    Attributes:
        path: below the target's base URL.
        body: JSON object, or form fields beside `files`.
        headers: more headers; credentials are none of them.
    """

    method: str
    path: str
    body: Mapping[str, object] | None = None
    files: Files = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
