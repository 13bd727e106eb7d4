# SPDX-License-Identifier: Apache-2.0
"""What the simulated models say: the word that was asked for, else filler, the same for the same seed and prompt."""

import random
import re

from openai_exporter.simulator.inference import tokens

_ASKED = re.compile(r"\b(?:reply|answer|respond|say|repeat|output)\b", re.IGNORECASE)
_QUOTED = re.compile(r"[\"“'`]([^\"”'`]{1,200})[\"”'`]")
_AFTER_COLON = re.compile(r":\s*(\S[^\n]*?)\s*[.!]?\s*\Z")
_WORD = re.compile(r"\bwords?\b[^\w]*(?:exactly|just|only)?\s*([\w-]+)\s*[.!]?\s*\Z", re.IGNORECASE)
_SENTENCE = (
    "the a simulated model answers with plain words and counts every token so that usage adds up "
    "while latency stays close to what was asked of it and nothing here means very much at all"
)
_VOCABULARY = tuple(_SENTENCE.split())
SHORTEST, LONGEST = 12, 90  # tokens of filler


def reply(prompt: str, rng: random.Random) -> list[str]:
    """The answer to `prompt` as tokens.

    A prompt with "reply", "answer", "respond", "say", "repeat" or "output" gets what it asks for: the
    quoted text, else what follows the last colon, else what follows "the word".
    """
    asked = wanted(prompt)
    return tokens.pieces(asked) if asked else _filler(rng)


def wanted(prompt: str) -> str | None:
    """The text that `prompt` asks to be replied with, if it asks for one."""
    if not _ASKED.search(prompt):
        return None
    for pattern in (_QUOTED, _AFTER_COLON, _WORD):
        found = pattern.search(prompt)
        if found:
            return found[1]
    return None


def _filler(rng: random.Random) -> list[str]:
    length = rng.randint(SHORTEST, LONGEST)
    words = rng.choices(_VOCABULARY, k=length - 1)
    first, *others = words
    return [first.capitalize(), *(f" {word}" for word in others), "."]
