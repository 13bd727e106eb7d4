# SPDX-License-Identifier: Apache-2.0
"""Dated snapshots, fine-tuned models, and the models that they are of. Pure."""

import re
from collections.abc import Collection, Iterator

_DATED = re.compile(r"(.+)-\d{4}-\d{2}-\d{2}")
_DATED_SHORT = re.compile(r"(.+)-\d{4}")


def undated(model: str) -> str:
    """The alias of a dated snapshot (`gpt-5.4-2026-03-05` is one of `gpt-5.4`); any other model as it is."""
    found = _DATED.fullmatch(model)
    return found[1] if found else model


def limited_as(model: str, known: Collection[str]) -> str:
    """The model whose rate limit holds for a model: itself if it has one, or the one that it is made of.

    Args:
        known: models with a rate limit.
    """
    candidates = list(_candidates(model))
    return next((each for each in candidates if each in known), candidates[-1])


def _candidates(model: str) -> Iterator[str]:
    """From the model itself to the broadest; the last is what it is called where no limit is known."""
    yield model
    base = model.split(":")[1] if model.startswith("ft:") and model.count(":") > 1 else model
    short = _DATED_SHORT.fullmatch(base)
    if short and undated(base) == base:
        yield short[1]
    yield base
    yield f"{undated(base)}-latest"
    yield undated(base)
