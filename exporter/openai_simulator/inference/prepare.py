# SPDX-License-Identifier: Apache-2.0
"""What every inference endpoint does first: key, body, checks, model, rate limit; and last: the books."""

import json
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from starlette.requests import Request

from openai_simulator import errors
from openai_simulator import exchange as exchanges
from openai_simulator.catalogue import Kind, Model
from openai_simulator.errors import ApiError, invalid_type
from openai_simulator.exchange import Call, Exchange, Identity, Operation
from openai_simulator.inference.schemas import Table, check
from openai_simulator.ratelimits import azure_headers, openai_headers
from openai_simulator.world import World

# What every inference endpoint does first: key, body, checks, model, rate limit; and last: the books.

LARGEST_BODY = 25 << 20
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A request that was let in: who asks, which model, and the checked body."""

    world: World
    exchange: Exchange
    identity: Identity
    key: str
    body: Body
    model: Model

    def admit(self, tokens: int) -> None:
        """Count the request against its rate limits and set their headers; raises the API's 429."""
        limits = self.world.rate_limits
        headers = azure_headers if self.exchange.azure else openai_headers
        try:
            limits.take(self.key, self.model, tokens)
        finally:
            self.exchange.extra_headers = headers(limits.buckets(self.key, self.model))

    def book(self, operation: Operation, **quantities: Any) -> None:
        """Enter the call in the organization's books."""
        call = Call(
            time=self.world.clock.now(),
            operation=operation,
            model=self.model.snapshot,
            identity=self.identity,
            **quantities,
        )
        self.world.organization.record_call(call)


def identified(world: World, request: Request, scope: str = "model.request") -> tuple[str, Identity]:
    """The request's key and whose it is; raises the API's 401 and 403."""
    exchange = exchanges.of(request)
    key = _azure_key(request) if exchange.azure else errors.bearer(request)
    if not exchange.azure:
        errors.refuse_invalid(key)
        if errors.is_admin_key(key):
            raise errors.missing_scopes(scope)
    accepted = world.settings.accepted_keys
    known = (
        f"sk-{key}" if exchange.azure else key
    )  # Azure keys have no prefix; each stands for some key of ours
    identity = None if accepted and key not in accepted else world.organization.identify(known)
    if identity is None:
        raise errors.incorrect(key)
    exchange.identity = identity
    return key, identity


def _azure_key(request: Request) -> str:
    key = request.headers.get("api-key", "").strip()
    if not key and "authorization" in request.headers:
        key = errors.bearer(request)
    if not key or key.startswith((errors.INVALID_PREFIX, "invalid")):
        message = "Access denied due to invalid subscription key or wrong API endpoint."
        raise ApiError(401, message, type="invalid_request_error", code="401")
    return key


async def prepared(world: World, request: Request, table: Table, kind: Kind, default: str = "") -> Job:
    """Let a JSON request in; `default` is the model when the endpoint has one."""
    key, identity = identified(world, request)
    body = decoded(await request.body())
    deployment = request.path_params.get("deployment")
    if deployment is not None:
        body["model"] = deployment
    check(body, table)
    return let_in(world, request, key, identity, body, kind, default)


def let_in(
    world: World, request: Request, key: str, identity: Identity, body: Body, kind: Kind, default: str = ""
) -> Job:
    """The job of a checked body; raises the API's refusals of the model."""
    exchange = exchanges.of(request)
    exchange.model = body.get("model") or default
    model = world.catalogue.of_kind(exchange.model, kind, exchange.path)
    return Job(world, exchange, identity, key, body, model)


def decoded(raw: bytes) -> Body:
    """The request's JSON object; raises the API's 400 or 413."""
    if len(raw) > LARGEST_BODY:
        raise ApiError(413, f"The request is larger than {LARGEST_BODY} bytes.")
    try:
        body = json.loads(raw or b"{}")
    except ValueError as error:
        message = f"We could not parse the JSON body of your request. ({error})"
        raise ApiError(400, message) from error
    if not isinstance(body, dict):
        raise invalid_type("body", "an object", body)
    return body


# Decoding multipart/form-data bodies with the standard library. Knows no endpoint.


@dataclass(frozen=True, slots=True)
class Form:
    """Text fields by name (lists: `name[]`), and files as (file name, bytes)."""

    fields: dict[str, list[str]]
    files: dict[str, tuple[str, bytes]]


def parsed(content_type: str, raw: bytes) -> Form:
    """The form; raises the API's 400 for a body that is none."""
    if not content_type.lower().startswith("multipart/form-data"):
        message = f"Content-Type must be multipart/form-data, not {content_type or 'absent'}."
        raise ApiError(400, message)
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    message_or_form = BytesParser(policy=HTTP).parsebytes(head + raw)
    if not message_or_form.is_multipart():
        raise ApiError(400, "Could not parse the multipart form.")
    form = Form({}, {})
    for part in message_or_form.get_payload():
        assert isinstance(part, Message)
        _add(form, part)
    return form


def _add(form: Form, part: Message) -> None:
    name = str(part.get_param("name", "", header="content-disposition"))
    content = part.get_payload(decode=True)
    data = content if isinstance(content, bytes) else b""
    file_name = part.get_filename()
    if file_name is None:
        form.fields.setdefault(name, []).append(data.decode(errors="replace"))
    else:
        form.files[name] = (file_name, data)
