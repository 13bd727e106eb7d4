# SPDX-License-Identifier: Apache-2.0
"""Identifiers and repeatable random generators made from a seed. Holds no state."""

import random
from hashlib import blake2b

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def digest(*parts: object) -> int:
    """A 64-bit number that depends on nothing but `parts`."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


def generator(*parts: object) -> random.Random:
    """A random generator that depends on nothing but `parts`."""
    return random.Random(digest(*parts))


def identifier(prefix: str, *parts: object, length: int = 16) -> str:
    """An id such as `proj_4kT...`: `prefix` and `length` letters and digits that depend on `parts` only."""
    text = "/".join(map(str, (prefix, *parts))).encode()
    number = int.from_bytes(blake2b(text, digest_size=32).digest(), "big")
    letters = []
    for _ in range(length):
        number, place = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[place])
    return prefix + "".join(letters)
