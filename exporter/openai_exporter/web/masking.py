# SPDX-License-Identifier: Apache-2.0
"""Takes keys out of logs and pages: the configured ones by value, and whatever has the form of one."""

import time
from collections.abc import Callable

from openai_exporter.config import Config, Credential, mask_keys
from openai_exporter.errors import CredentialError
from openai_exporter.probe.redact import Redactor

_READ_EVERY = 5.0


class Masker:
    """Masks secrets in text; follows key files as they change, and remembers keys that were in use.

    Args:
        clock: seconds; bounds how often key files are read.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._credentials: tuple[Credential, ...] = ()
        self._known: set[str] = set()
        self._redactor = Redactor()
        self._read_at = 0.0

    def __repr__(self) -> str:
        return "Masker()"

    def follow(self, config: Config) -> None:
        """Mask the keys of this configuration from now on, too."""
        found = [config.target_credential(each.name) for each in config.targets]
        found += [config.organization_credential(each.name) for each in config.organizations]
        self._credentials = tuple(each for each in found if each is not None)
        self._read()

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        if self._credentials and self._clock() - self._read_at > _READ_EVERY:
            self._read()
        return mask_keys(self._redactor.mask(text))

    def _read(self) -> None:
        self._read_at = self._clock()
        before = len(self._known)
        for credential in self._credentials:
            try:
                self._known.add(credential.read().reveal())
            except CredentialError:
                continue
        if len(self._known) != before:
            self._redactor = Redactor(self._known)
