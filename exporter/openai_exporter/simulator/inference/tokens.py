# SPDX-License-Identifier: Apache-2.0
"""How the simulator counts tokens. Simple and documented; it does not try to match a real tokenizer.

A token is up to eight word characters or one other visible character, with the white space before it;
white space at the end of a text is one token. So the tokens of a text, joined, are the text.
"""

import re
from typing import Any

_TOKEN = re.compile(r"\s*(?:\w{1,8}|[^\w\s])|\s+")
PER_MESSAGE = 3  # a chat message's frame: role and separators
PRIMING = 3  # the start of the assistant's answer
PER_IMAGE = 85
PER_AUDIO_SECOND = 10
PER_FILE = 200


def pieces(text: str) -> list[str]:
    """The tokens of `text`, in order."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """How many tokens `text` has."""
    return len(_TOKEN.findall(text))


def of_messages(messages: list[dict[str, Any]]) -> int:
    """Prompt tokens of chat messages, or of the items of a Responses input."""
    return PRIMING + sum(PER_MESSAGE + of_content(message.get("content")) for message in messages)


def of_content(content: Any) -> int:
    """Tokens of a message's content: text, or parts with text, images, audio and files."""
    if isinstance(content, str):
        return count(content)
    if not isinstance(content, list):
        return 0
    return sum(_of_part(part) for part in content)


def _of_part(part: Any) -> int:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("image_url", "input_image"):
        return PER_IMAGE
    if kind in ("input_audio", "file", "input_file"):
        return PER_FILE
    text = part.get("text") if isinstance(part, dict) else None
    return count(text) if isinstance(text, str) else 0


def text_of(content: Any) -> str:
    """The text of a message's content."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return " ".join(text for text in texts if isinstance(text, str))
