# SPDX-License-Identifier: Apache-2.0
"""Scrapes what `/sd` lists, for a demo on a machine without Prometheus, so that the pages still live."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

INTERVAL = 5.0


class Scraper(threading.Thread):
    """A thread that scrapes every target each few seconds, as Prometheus would, and keeps two counts."""

    def __init__(self, exporter: str, interval: float = INTERVAL) -> None:
        super().__init__(name="scraper", daemon=True)
        self._exporter = exporter
        self._interval = interval
        self._over = threading.Event()
        self.targets = 0
        self.up = 0

    def run(self) -> None:
        """Scrape until `stop`."""
        with ThreadPoolExecutor(max_workers=16) as pool:
            while not self._over.is_set():
                groups = self._groups()
                self.up = sum(pool.map(self._scrape, groups))
                self.targets = len(groups)
                self._over.wait(self._interval)

    def stop(self) -> None:
        """End the thread after the round that is under way."""
        self._over.set()

    def _groups(self) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = requests.get(f"{self._exporter}/sd", timeout=self._interval).json()
        except (requests.RequestException, ValueError):
            return []
        return found

    def _scrape(self, group: dict[str, Any]) -> bool:
        labels: dict[str, str] = group["labels"]
        prefix = "__param_"
        params = {
            name.removeprefix(prefix): value for name, value in labels.items() if name.startswith(prefix)
        }
        url = f"{self._exporter}{labels.get('__metrics_path__', '/metrics')}"
        try:
            return requests.get(url, params=params, timeout=2 * self._interval).status_code == 200
        except requests.RequestException:
            return False
