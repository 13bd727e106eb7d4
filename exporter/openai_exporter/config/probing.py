# SPDX-License-Identifier: Apache-2.0
"""What is probed: targets, modules, and which module runs where."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from openai_exporter.config import base
from openai_exporter.model import Endpoint, Provider

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
ServiceTier = Literal["auto", "default", "flex", "scale", "priority", "fast"]

OPENAI_URL = "https://api.openai.com/v1"
DEFAULT_PROMPT = "Reply with the word: pong"
_LEAST_OUTPUT_OF_RESPONSES = 16


_SET_ELSEWHERE = {"model": "the models of the probe", "stream": "stream of the module"}
"""Fields of a request body that decide what labels and timings mean, and where they are set."""


def _of_no_other_key(extra: dict[str, Any]) -> dict[str, Any]:
    for name, place in _SET_ELSEWHERE.items():
        if name in extra:
            raise base.FieldError(f"is set by {place}; set it there", name)
    return extra


def one_of(*alternatives: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema: exactly one of these keys is given, with this value."""
    options = [{"required": list(each), "properties": each} for each in alternatives]
    return {"oneOf": options}


class Target(base.Section):
    """An API that is probed; its key is sent to `base_url` and nowhere else."""

    model_config = ConfigDict(
        json_schema_extra=one_of(
            {"api_key_file": {"type": "string"}},
            {"api_key_env": {"type": "string"}},
            {"no_key": {"const": True}},
        )
    )

    name: base.Name = Field(description="Name in URLs and in the label `target`.")
    provider: Provider = Field(Provider.OPENAI, strict=False, description="Whose API it is.")
    base_url: base.Url = Field(OPENAI_URL, description="Root of the API, with its version.")
    api_key_file: base.FileName | None = Field(
        None,
        description="File that holds the key, relative to the configuration; re-read when it changes.",
    )
    api_key_env: base.Variable | None = Field(None, description="Environment variable that holds the key.")
    organization: base.Token | None = Field(None, description="Header OpenAI-Organization.")
    project: base.Token | None = Field(None, description="Header OpenAI-Project.")
    api_version: base.Token | None = Field(None, description="Azure only: query parameter api-version.")
    no_key: bool = Field(False, description="Compatible servers only: the server takes no key.")

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        found = {
            "api_key_file": self.api_key_file,
            "api_key_env": self.api_key_env,
            "no_key": self.no_key or None,
        }
        given = [name for name, value in found.items() if value is not None]
        if not given:
            raise ValueError("has no key; give api_key_file or api_key_env (or no_key: true, compatible servers)")
        if len(given) > 1:
            raise ValueError(f"gives {' and '.join(given)}; keep one of them")
        if self.no_key and self.provider is not Provider.COMPATIBLE:
            raise base.FieldError(f"is for provider compatible only, not {self.provider}; give api_key_file", "no_key")
        if self.provider is not Provider.OPENAI and self.base_url == OPENAI_URL:
            raise base.FieldError(f"provider {self.provider} needs base_url, the root of its own API", "base_url")
        if self.api_version is not None and self.provider is not Provider.AZURE:
            raise base.FieldError(f"is for provider azure only, not {self.provider}; remove it", "api_version")
        return self


class Request(base.Section):
    """What a probe sends."""

    prompt: str = Field(DEFAULT_PROMPT, min_length=1, max_length=20_000, description="User message or input.")
    max_output_tokens: int | None = Field(16, ge=1, description="Bound on output tokens; null sends none.")
    reasoning_effort: ReasoningEffort | None = Field(None, description="Sent only when given.")
    service_tier: ServiceTier | None = Field(None, description="Sent only when given.")
    dimensions: int | None = Field(None, ge=1, description="Embeddings only: length of the vector.")
    voice: base.Token = Field("alloy", description="Speech only.")
    audio_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = Field("wav", description="Speech only.")
    audio_file: base.FileName | None = Field(None, description="Transcriptions only: a file; default is a short tone.")
    size: base.ImageSize = Field("1024x1024", description="Images only.")
    quality: Literal["low", "medium", "high", "auto"] = Field("low", description="Images only.")
    extra: Annotated[base.JsonObject, AfterValidator(_of_no_other_key)] = Field(
        default_factory=dict,
        description="More fields of the request body, sent as they are; not model and stream.",
        json_schema_extra={"propertyNames": {"not": {"enum": list(_SET_ELSEWHERE)}}},
    )


class Expect(base.Section):
    """What makes the answer a good one."""

    status: Annotated[tuple[Annotated[int, Field(ge=100, le=599)], ...], base.LIST, base.DISTINCT] = Field(
        (200,), min_length=1, description="Accepted HTTP statuses."
    )
    text: base.Pattern | None = Field(
        None,
        description="Regular expression (RE2, as in blackbox_exporter) that the reply's text must match somewhere.",
    )
    vector_length: int | None = Field(None, ge=1, description="Embeddings only: length of the vector.")


class Module(base.Section):
    """How a probe is made."""

    endpoint: Endpoint = Field(strict=False, description="What is called.")
    stream: bool = Field(False, description="Ask for a stream; chat and responses only.")
    timeout: base.PositiveDuration = Field(9.5, description="Total deadline, also of a stream that drips.")
    connection: Literal["reuse", "fresh"] = Field(
        "reuse",
        description="Warm connection or a new one; a warm one is replaced 10 minutes after it was opened.",
    )
    request: Request = Field(default_factory=Request, description="What is sent.")
    expect: Expect = Field(default_factory=Expect, description="What the answer must be like.")
    min_interval: base.Duration = Field(0.0, description="Scrapes closer than this share one probe.")
    daily_cost_limit_usd: base.Money | None = Field(None, description="Estimated spend per UTC day that stops it.")

    price_per_call_usd: base.Money | None = Field(
        None,
        description="Counted for a call whose answer names no price: sound, broken-off streams, compatible servers.",
    )

    @model_validator(mode="after")
    def _limit_can_be_kept(self) -> Self:
        soundless = self.endpoint not in (Endpoint.SPEECH, Endpoint.TRANSCRIPTIONS)
        if self.daily_cost_limit_usd is None or self.price_per_call_usd is not None or soundless:
            return self
        text = f"has no effect for endpoint {self.endpoint}, whose answers name no tokens; add price_per_call_usd"
        raise base.FieldError(text, "daily_cost_limit_usd")

    @model_validator(mode="after")
    def _fits_endpoint(self) -> Self:
        if self.stream and self.endpoint not in (Endpoint.CHAT, Endpoint.RESPONSES):
            raise base.FieldError(f"is for the endpoints chat and responses, not {self.endpoint}; remove it", "stream")
        bound, least = self.request.max_output_tokens, _LEAST_OUTPUT_OF_RESPONSES
        if self.endpoint is Endpoint.RESPONSES and bound is not None and bound < least:
            text = f"must be at least {least}; the API refuses less for endpoint responses"
            raise base.FieldError(text, "request", "max_output_tokens")
        for section, key in (("request", "dimensions"), ("expect", "vector_length")):
            if getattr(getattr(self, section), key) is not None and self.endpoint is not Endpoint.EMBEDDINGS:
                raise base.FieldError(f"is for endpoint embeddings only, not {self.endpoint}; remove it", section, key)
        return self


class Probe(base.Section):
    """Which module runs on which target, for which models; each combination is one scrape target of `/sd`."""

    target: str = Field(description="Name of a target.")
    module: str = Field(description="Name of a module.")
    models: Annotated[tuple[base.ModelName, ...], base.LIST, base.DISTINCT] = Field(
        (), description="One probe each; none for endpoint models."
    )
    labels: base.Labels = Field(default_factory=dict, description="More target labels.")
