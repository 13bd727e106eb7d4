# SPDX-License-Identifier: Apache-2.0
"""No key reaches a page, a log line or a repr, whatever an upstream echoes."""

import json
from pathlib import Path

import pytest
import yaml

from openai_exporter.config import Config
from openai_exporter.config.load import parse_config
from openai_exporter.config.secret import Masker
from openai_simulator.testing import SimulatorControl
from tests.exporter.web.exporters import ADMIN_KEY, ENV, KEY, MODEL, child, document, request, running

BARE_KEY = "3f9c1b7a5e2d4c6f8a0b1c2d3e4f5a6b"
"""A key without a prefix, as Azure gives them."""
FILE_KEY = "sk-file-abcdef0123456789"
SECRETS = (KEY, ADMIN_KEY, BARE_KEY, FILE_KEY)
PAGES = ("/", "/history", "/config", "/metrics", "/sd", "/usage", "/status", "/-/ready")
PROBES = (
    f"/probe?target=sim&module=chat&model={MODEL}",
    f"/probe?target=bare&module=chat&model={MODEL}",
    f"/probe?target=filed&module=chat&model={MODEL}",
)


def _config(folder: Path, simulator: SimulatorControl) -> dict[str, object]:
    config = document(simulator.api_url)
    key_file = folder / "key"
    key_file.write_text(f"{FILE_KEY}\n")
    config["targets"] += [
        {"name": "bare", "base_url": simulator.api_url, "provider": "compatible", "api_key_env": "BARE_KEY"},
        {"name": "filed", "base_url": simulator.api_url, "api_key_file": str(key_file)},
    ]
    config["modules"]["chat"]["request"] = {"extra": {"metadata": {"token": KEY, "note": f"Bearer {BARE_KEY}"}}}
    config["probes"] += [{"target": name, "module": "chat", "models": [MODEL]} for name in ("bare", "filed")]
    return config


def _echoes(simulator: SimulatorControl, secret: str) -> None:
    """An API that repeats the key in its error, as the real one does in part."""
    simulator.fault("status", "*", status=401, message=f"Incorrect API key provided: {secret}. Bearer {secret}")


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_no_key_reaches_a_page_or_a_log_line(tmp_path: Path, simulator: SimulatorControl, form: str) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text(yaml.safe_dump(_config(tmp_path, simulator)))
    env = ENV | {"BARE_KEY": BARE_KEY}
    seen: list[str] = []
    with child("--config.file", str(file), "--log.level=debug", f"--log.format={form}", env=env) as exporter:
        for secret in SECRETS:
            simulator.clear()
            _echoes(simulator, secret)
            seen += [request(exporter.port, path).text for path in PROBES]
            seen += [request(exporter.port, f"{path}&debug=true").text for path in PROBES]
        numbers = [str(number) for number in range(1, 25)]
        seen += [request(exporter.port, path).text for path in PAGES]
        seen += [request(exporter.port, f"/history/{number}").text for number in numbers]
        _, _, log = exporter.stop()
    assert "outcome=auth" in log or '"outcome": "auth"' in log
    for secret in SECRETS:
        for text in [*seen, log]:
            assert secret not in text
            assert json.dumps(secret)[1:-1] not in text


def test_config_shows_references_and_masks_what_looks_like_a_key(tmp_path: Path, simulator: SimulatorControl) -> None:
    with running(tmp_path, _config(tmp_path, simulator), env=ENV | {"BARE_KEY": BARE_KEY}) as exporter:
        found = yaml.safe_load(exporter.get("/config").text)
    assert {"api_key_env": "TEST_KEY"}.items() <= found["targets"][0].items()
    assert found["targets"][2]["api_key_file"] == str(tmp_path / "key")
    assert found["modules"]["chat"]["request"]["extra"]["metadata"]["token"] == "<secret>"


def test_a_rotated_key_is_masked_as_soon_as_it_is_in_use(tmp_path: Path) -> None:
    now = [0.0]
    config = _config_with_file(tmp_path, "first-key-of-nobody-1")
    masker = Masker(clock=lambda: now[0])
    masker.follow(config)
    assert masker("a first-key-of-nobody-1 b") == "a <secret> b"
    (tmp_path / "key").write_text("second-key-of-nobody-2")
    now[0] = 6.0
    assert masker("first-key-of-nobody-1 second-key-of-nobody-2") == "<secret> <secret>"
    (tmp_path / "key").unlink()
    now[0] = 12.0
    assert masker("second-key-of-nobody-2") == "<secret>"


def test_live_objects_show_no_key(tmp_path: Path, simulator: SimulatorControl) -> None:
    with running(tmp_path, document(simulator.api_url)) as exporter:
        live = exporter.live
        for each in (live, live.services, live.settings, live.masker):
            assert not [secret for secret in (KEY, ADMIN_KEY) if secret in repr(each) + str(each)]


def _config_with_file(folder: Path, key: str) -> Config:
    (folder / "key").write_text(key)
    target = {"name": "a", "base_url": "http://127.0.0.1:1/v1", "api_key_file": str(folder / "key")}
    return parse_config(yaml.safe_dump({"targets": [target]}), "test", {}, folder)
