# SPDX-License-Identifier: Apache-2.0
"""One fresh probe within its deadline: key, client, request; our own waits never become the API's latency."""

import asyncio
import uuid

from openai_exporter.client.wire_pool import DEFAULT_CAP, Terms
from openai_exporter.config import Config, Secret
from openai_exporter.errors import CredentialError
from openai_exporter.model import Endpoint, ProbeKey, ProbeResult
from openai_exporter.probe.clients import Clients
from openai_exporter.probe.directory import Directory
from openai_exporter.probe.endpoints import MAX_BODY
from openai_exporter.probe.logline import ProbeLog
from openai_exporter.probe.reading import Setting
from openai_exporter.probe.result import Frame, bare_result
from openai_exporter.probe.run import run_probe
from openai_exporter.probe.shared import Shared


class Measurer:
    """Makes the probes of one configuration."""

    def __init__(self, config: Config, directory: Directory, shared: Shared, clients: Clients) -> None:
        self._config = config
        self._directory = directory
        self._shared = shared
        self._clients = clients

    async def measure(self, key: ProbeKey, deadline: float) -> ProbeResult:
        """Make one probe that ends by `deadline` (monotonic seconds); failures become outcomes."""
        target, module = self._directory.parts(key)
        timeout = max(deadline - self._shared.clocks.monotonic(), 0.0)
        async with self._shared.slot(deadline) as free:
            client = await self._clients.get(target)
            try:
                secret = self._secret(target.name)
            except CredentialError as error:
                return self.unprobed(key, "no_credentials", str(error))
            frame = self._frame(key, timeout, secret)
            left = deadline - self._shared.clocks.monotonic()
            if not free or left <= 0:
                message = "the deadline passed before the exporter came to it"
                return bare_result(frame, ProbeLog(frame.redactor), "exporter_busy", message)
            # The loop's own clock times the exchange, whatever clock was injected for ages and waits.
            ends = asyncio.get_running_loop().time() + left
            terms = Terms(ends, module.connection == "fresh", MAX_BODY.get(module.endpoint, DEFAULT_CAP))
            return await run_probe(frame, client, terms, secret, self._shared.turns.turn)

    def unprobed(self, key: ProbeKey, outcome: str, message: str) -> ProbeResult:
        """The result of a probe that is not made."""
        frame = self._frame(key, self._directory.parts(key)[1].timeout, None)
        return bare_result(frame, ProbeLog(frame.redactor), outcome, message)

    def _secret(self, target: str) -> Secret | None:
        credential = self._config.target_credential(target)
        return None if credential is None else credential.read()

    def _frame(self, key: ProbeKey, timeout: float, secret: Secret | None) -> Frame:
        target, module = self._directory.parts(key)
        expected = self._directory.models_of(target.name) if module.endpoint is Endpoint.MODELS else ()
        return Frame(
            key=key,
            setting=Setting(module, target.provider, key.model, self._config.all_prices),
            started_at=self._shared.clocks.now(),
            timeout=timeout,
            redactor=self._shared.keyring.redactor(secret),
            client_request_id=uuid.uuid4().hex,
            expected_models=expected,
        )
