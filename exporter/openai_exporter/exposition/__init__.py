# SPDX-License-Identifier: Apache-2.0
"""From families to the bytes of a scrape; the only room that knows prometheus_client."""

from openai_exporter.exposition.labels import clean
from openai_exporter.exposition.negotiation import Format, content_type, negotiate, wants_openmetrics
from openai_exporter.exposition.page import EncodedPage
from openai_exporter.exposition.registry import Instruments
from openai_exporter.exposition.text import Family, encode, family, fixed

__all__ = [
    "EncodedPage",
    "Family",
    "Format",
    "Instruments",
    "clean",
    "content_type",
    "encode",
    "family",
    "fixed",
    "negotiate",
    "wants_openmetrics",
]
