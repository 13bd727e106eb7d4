# SPDX-License-Identifier: Apache-2.0
"""A price file: YAML with the same `prices:` as the configuration, decoded as strictly."""

from collections.abc import Sequence

from pydantic import ValidationError

from openai_exporter.config.checks import never_applied
from openai_exporter.config.document import Document
from openai_exporter.config.masking import shown
from openai_exporter.config.messages import problems
from openai_exporter.config.prices import Price, PriceFile
from openai_exporter.errors import ConfigError, Problem

_EXAMPLE = (
    "start with `prices:` and a list, such as `- {model: my-model, usd_per_million: {input: 1, output: 4}}`"
)


def read_prices(text: str, name: str, before: Sequence[Price], configuration: Document) -> tuple[Price, ...]:
    """The prices of a file.

    Args:
        name: shown in errors.
        before: the prices of the configuration, which come first.
        configuration: where these stand.

    Raises:
        ConfigError: every mistake at once, each with file, line, path, value and what is allowed.
    """
    document = Document(text, name)
    data = document.data
    if not isinstance(data, dict) or not data:
        raise ConfigError([Problem(name, f"is no price file; {_EXAMPLE}")])
    unknown = [key for key in data if key != "prices"]
    if unknown:
        text = "; a price file has only: prices"
        raise ConfigError([document.problem((key,), f"unknown key {shown(key)}{text}") for key in unknown])
    try:
        prices = PriceFile.model_validate(data).prices
    except ValidationError as error:
        raise ConfigError(problems(error, document)) from None
    found = _never_applied(prices, document, before, configuration)
    if found:
        raise ConfigError(found)
    return prices


def _never_applied(
    prices: Sequence[Price], document: Document, before: Sequence[Price], configuration: Document
) -> list[Problem]:
    found = []
    for each in never_applied((*before, *prices)):
        index = int(each.path[1]) - len(before)
        if index >= 0 and each.first is not None:
            earlier = int(each.first[1])
            if earlier < len(before):
                place = configuration.place(("prices", earlier))
            else:
                place = document.place(("prices", earlier - len(before)))
            found.append(document.problem(("prices", index), f"{each.message}; it stands at {place}"))
    return found
