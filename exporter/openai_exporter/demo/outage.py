# SPDX-License-Identifier: Apache-2.0
"""The switch that breaks the simulated API and mends it."""

import requests

TIMEOUT = 5.0
FAULT = {"kind": "outage", "scope": "inference", "mode": "503"}


class Switch:
    """Sets and ends an outage in the simulator at `simulator`."""

    def __init__(self, simulator: str) -> None:
        self._faults = f"{simulator}/_simulator/faults"

    def break_it(self) -> str:
        """Let every probe fail; returns what happened, for people."""
        return self._done("POST", "outage set: every probe now gets 503", json=FAULT)

    def mend_it(self) -> str:
        """End every fault; returns what happened, for people."""
        return self._done("DELETE", "outage ended: the API works again")

    def _done(self, method: str, text: str, json: object = None) -> str:
        try:
            answer = requests.request(method, self._faults, json=json, timeout=TIMEOUT)
        except requests.RequestException as error:
            return f"the simulator does not answer: {type(error).__name__}"
        return text if answer.ok else f"the simulator refuses: {answer.text[:200]}"
