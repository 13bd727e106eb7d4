# SPDX-License-Identifier: Apache-2.0
"""A stream of tokens with one token of look-ahead."""

from typing import NoReturn

from openai_exporter.rules.promql.tokens import PromQLError, Token, tokens


class Stream:
    """The tokens of an expression, read one after the other."""

    def __init__(self, expression: str) -> None:
        """Raises PromQLError for what is no token."""
        self._tokens = list(tokens(expression))
        self._next = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    @property
    def kind(self) -> str:
        """Kind of the next token."""
        return self._token.kind

    @property
    def text(self) -> str:
        """The next token as it is written."""
        return self._token.text

    @property
    def word(self) -> str:
        """The next token in lower case, for keywords and operators."""
        return self._token.text.lower()

    def take(self) -> str:
        """Go on; returns the token that was next."""
        found = self._token.text
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return found

    def takes(self, *texts: str) -> bool:
        """Go on if the next token is one of these."""
        if self.text not in texts:
            return False
        self.take()
        return True

    def expect(self, text: str) -> None:
        """Go on past this token; PromQLError when another one is next."""
        if not self.takes(text):
            self.fail(f"'{text}'")

    def duration(self) -> None:
        """Go on past a duration above zero."""
        if self.kind != "duration" or not any(sign in "123456789" for sign in self.text):
            self.fail("a duration such as 5m")
        self.take()

    def fail(self, wanted: str) -> NoReturn:
        """Raise PromQLError: something else is next."""
        raise PromQLError(f"character {self._token.at + 1}: expected {wanted}, found {self.text[:40]}")
