# SPDX-License-Identifier: Apache-2.0
"""Decoding multipart/form-data bodies with the standard library. Knows no endpoint."""

from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP

from openai_exporter.simulator.errors import ApiError


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
