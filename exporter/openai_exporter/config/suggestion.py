# SPDX-License-Identifier: Apache-2.0
"""What a message offers for a name that is not known: the nearest one, and all that are."""

import difflib
from collections.abc import Sequence

from openai_exporter.config.masking import shown

_MOST = 20


def nearest(name: str, allowed: Sequence[str]) -> str:
    """`did you mean 'x'?`, or nothing when no name is near."""
    found = difflib.get_close_matches(name, allowed, n=1) if len(name) <= 100 else []
    if not found:
        found = [each for each in allowed if len(name) > 2 and (name in each or each in name)]
    return f"did you mean {shown(found[0])}? " if found else ""


def listing(names: Sequence[str]) -> str:
    """The names, at most twenty of them; `none` when there are none."""
    more = f", ... ({len(names)} in all)" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more if names else "none"


def unknown(kind: str, name: str, configured: Sequence[str]) -> str:
    """`'x': unknown target; did you mean 'y'? configured: y, z`."""
    names = list(dict.fromkeys(configured))
    return f"{shown(name)}: unknown {kind}; {nearest(name, names)}configured: {listing(names)}"
