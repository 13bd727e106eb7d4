# SPDX-License-Identifier: Apache-2.0
"""Which model a line item of the bill is for: `gpt-5.4-2026-03-05, cached input` is for `gpt-5.4-2026-03-05`. Pure.

What line items say is documented nowhere; what does not begin with a model that usage has is for none.
"""

from collections.abc import Collection

from openai_exporter.usage.snapshots import undated

IMAGES = ", images"
"""How line items for whole images end: they are of a model, but no price list has a price for them."""


def model_of(line_item: str, models: Collection[str]) -> str | None:
    """The model of a line item, None when there is none.

    Args:
        models: names that usage has. An alias on the bill is for the one snapshot of it, if there is only one.
    """
    name, _, what = line_item.partition(", ")
    if not what:
        return None
    if name in models:
        return name
    snapshots = [each for each in models if undated(each) == name]
    return snapshots[0] if len(snapshots) == 1 else None
