# SPDX-License-Identifier: Apache-2.0
"""What asks for health without a password or a certificate is answered: the kubelet, and the image's own check."""

import contextlib
import http.client
import json
import re
import resource
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any

import bcrypt
import pytest
import yaml

from openai_simulator.testing import SimulatorControl
from tests.exporter.web.exporters import ENV, MODEL, child, document, free_port, poll, request, running

ROOT = Path(__file__).resolve().parents[3]
USERS = {"basic_auth_users": {"alice": bcrypt.hashpw(b"wonderland", bcrypt.gensalt(4)).decode()}}
LIMIT = {"rate_limit": {"interval": "1h", "burst": 1}}
TLS = {"cert_file": "c.pem", "key_file": "k.pem"}
MUTUAL = {**TLS, "client_ca_file": "c.pem", "client_auth_type": "RequireAndVerifyClientCert"}
WEB: dict[str, dict[str, Any]] = {
    "nothing": {},
    "users": USERS,
    "users and a limit": {**USERS, **LIMIT},
    "TLS": {"tls_server_config": TLS},
    "TLS and users": {"tls_server_config": TLS, **USERS},
    "TLS 1.3 alone": {"tls_server_config": {**TLS, "min_version": "TLS13"}},
    "client certificates, users and a limit": {"tls_server_config": MUTUAL, **USERS, **LIMIT},
}


def _served(folder: Path, config: dict[str, Any], **settings: Any) -> Any:
    if "tls_server_config" in config:
        _certificate(folder)
    file = folder / "web.yml"
    file.write_text(yaml.safe_dump(config))
    return running(folder, document("http://127.0.0.1:1/v1"), web_config_file=file, **settings)


def _certificate(folder: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed; it makes the certificates for this test")
    command = [
        openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
        "-keyout", str(folder / "k.pem"), "-out", str(folder / "c.pem"),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=600)


def _image_check(port: int) -> int:
    """Exit status of the image's own check, asked of another port."""
    text = (ROOT / "exporter" / "Dockerfile").read_text()
    found = re.search(r"^HEALTHCHECK [^\n]*\\\n *CMD (\[.*\])$", text, re.M)
    assert found is not None
    _, *argv = json.loads(found[1])
    assert any("9985" in each for each in argv)
    asked = [each.replace("9985", str(port)) for each in argv]
    return subprocess.run([sys.executable, *asked], capture_output=True, timeout=60).returncode


@pytest.mark.parametrize("config", WEB.values(), ids=list(WEB))
def test_the_image_is_healthy_with_any_web_configuration_and_the_log_stays_quiet(
    tmp_path: Path, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with _served(tmp_path, config) as exporter:
        assert [0, 0, 0] == [_image_check(exporter.port) for _ in range(3)]
    assert not [each for each in caplog.records if "refused" in each.getMessage()]


def test_the_image_is_unhealthy_when_nothing_listens_or_the_process_ends(tmp_path: Path) -> None:
    assert _image_check(free_port()) == 1
    with _served(tmp_path, {}) as exporter:
        exporter.live.ready = False
        assert _image_check(exporter.port) == 1


@pytest.mark.parametrize("prefix", ["", "/openai"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_asks_for_no_password_and_knows_no_limit(tmp_path: Path, prefix: str, method: str) -> None:
    with _served(tmp_path, {**USERS, **LIMIT}, route_prefix=prefix) as exporter:
        for path in ("/-/healthy", "/-/ready"):
            assert [200] * 3 == [exporter.send(method, f"{prefix}{path}").status for _ in range(3)]
        assert [401, 429] == [exporter.send(method, f"{prefix}/sd").status for _ in range(2)]


def test_a_kubelet_that_verifies_nothing_is_answered_over_tls_without_a_password(tmp_path: Path) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with _served(tmp_path, {"tls_server_config": TLS, **USERS}) as exporter:
        assert request(exporter.port, "/-/ready", tls=trusting).status == 200
        assert request(exporter.port, "/metrics", tls=trusting).status == 401


def test_over_tls_a_process_that_ends_is_not_ready(tmp_path: Path) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with _served(tmp_path, {"tls_server_config": TLS}) as exporter:
        exporter.live.ready = False
        assert request(exporter.port, "/-/ready", tls=trusting).status == 503


# Not ready: what cannot be served, though the process lives.


def test_an_exporter_whose_places_are_all_taken_is_not_ready(simulator: SimulatorControl, tmp_path: Path) -> None:
    simulator.fault("hang")
    with running(tmp_path, document(simulator.api_url), max_requests=1) as exporter:
        held = http.client.HTTPConnection("127.0.0.1", exporter.port)
        held.request("GET", f"/probe?target=sim&module=slow&model={MODEL}")
        poll(lambda: exporter.get("/-/ready").status == 503)
        assert "as many scrapes wait as --web.max-requests allows" in exporter.get("/-/ready").text
        assert 503 == exporter.get("/usage").status
        assert 200 == exporter.get("/-/healthy").status
        held.close()


def keys_are_checked(simulator: SimulatorControl, since: float, targets: int) -> bool:
    """Whether the check of keys at the start is over: it opens connections, too."""
    paths = [entry["path"] for entry in simulator.journal_since(since)]
    return paths.count("/v1/models") >= targets and "/v1/organization/costs" in paths


def test_without_file_descriptors_the_exporter_says_so(simulator: SimulatorControl, tmp_path: Path) -> None:
    config, began = document(simulator.api_url), monotonic()
    (tmp_path / "key").write_text("sk-test-0123456789abcdef")
    named = simulator.api_url.replace("127.0.0.1", "localhost")
    config["targets"] += [
        {"name": "file", "base_url": simulator.api_url, "api_key_file": "key"},
        {"name": "named", "base_url": named, "api_key_env": "TEST_KEY"},
    ]
    config["modules"]["models"]["connection"] = "fresh"
    config["probes"] += [{"target": name, "module": "models"} for name in ("file", "named")]
    file = tmp_path / "exporter.yml"
    file.write_text(yaml.safe_dump(config))
    with (
        child("--config.file", str(file), "--log.level", "error", env=ENV) as exporter,
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=60)) as kept,
    ):

        def ask(path: str) -> tuple[int, str]:
            kept.request("GET", path)
            answer = kept.getresponse()
            return answer.status, answer.read().decode()

        poll(lambda: keys_are_checked(simulator, began, targets=3))
        ask("/probe?target=sim&module=models")  # what a first probe loads is loaded
        pid = exporter.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (0, hard))
        for target in ("sim", "file", "named"):
            assert (
                'openai_probe_outcome{outcome="exporter_busy"} 1\n' in ask(f"/probe?target={target}&module=models")[1]
            )
        assert 200 == ask("/usage")[0]
        status, said = ask("/-/ready")
        assert (503, "/usage has nothing to serve; the log says why.") == (status, said.strip().partition(": ")[2])
        status, said = ask("/")
        assert (503, True) == (status, "no file descriptor" in said)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert "probe_success 1\n" in ask("/probe?target=file&module=models")[1]
        assert 200 == ask("/usage")[0]
        assert 200 == ask("/-/ready")[0]
        _, _, log = exporter.stop()
    assert "organization acme: refresh failed: OSError(24, 'Too many open files')" in log
    assert "Traceback" not in log


def test_connections_without_a_descriptor_fill_no_log_and_are_served_later(
    simulator: SimulatorControl, tmp_path: Path
) -> None:
    file, began = tmp_path / "exporter.yml", monotonic()
    file.write_text(yaml.safe_dump(document(simulator.api_url)))
    with child("--config.file", str(file), env=ENV) as exporter, contextlib.ExitStack() as clients:
        folder, pid = Path(f"/proc/{exporter.process.pid}/fd"), exporter.process.pid
        poll(lambda: keys_are_checked(simulator, began, targets=1))
        poll(lambda: request(exporter.port, "/probe?target=sim&module=models").status == 200)
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        bound = len(list(folder.iterdir())) + 5
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (bound, hard))
        for _ in range(20):
            clients.enter_context(socket.create_connection(("127.0.0.1", exporter.port)))
        poll(lambda: len(list(folder.iterdir())) >= bound)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert 200 == request(exporter.port, "/-/ready").status
        _, _, log = exporter.stop()
    assert 1 >= log.count("Too many open files")
    assert len(log) < 5000
    assert "Traceback" not in log
