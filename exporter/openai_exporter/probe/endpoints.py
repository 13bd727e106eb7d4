# SPDX-License-Identifier: Apache-2.0
"""Which code probes which endpoint."""

from collections.abc import Mapping
from types import MappingProxyType

from openai_exporter.model import Endpoint
from openai_exporter.probe import (
    chat,
    embeddings,
    images,
    models,
    moderations,
    responses,
    speech,
    transcriptions,
)
from openai_exporter.probe.reading import Method

METHODS: Mapping[Endpoint, Method] = MappingProxyType(
    {
        Endpoint.CHAT: chat.METHOD,
        Endpoint.RESPONSES: responses.METHOD,
        Endpoint.EMBEDDINGS: embeddings.METHOD,
        Endpoint.MODERATIONS: moderations.METHOD,
        Endpoint.MODELS: models.METHOD,
        Endpoint.TRANSCRIPTIONS: transcriptions.METHOD,
        Endpoint.SPEECH: speech.METHOD,
        Endpoint.IMAGES: images.METHOD,
    }
)

MAX_BODY = {Endpoint.IMAGES: 16 * 1024 * 1024, Endpoint.SPEECH: 8 * 1024 * 1024}
"""Bytes of body accepted where an ordinary answer is larger than the common bound."""
