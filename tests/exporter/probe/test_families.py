# SPDX-License-Identifier: Apache-2.0
"""What `/probe` exposes."""

from dataclasses import replace
from decimal import Decimal

import pytest

from openai_exporter.exposition import encode
from openai_exporter.metrics import CATALOGUE
from openai_exporter.metrics.metric import Page
from openai_exporter.model import (
    Endpoint,
    ModelCard,
    Phases,
    ProbeAnswer,
    ProbeResult,
    RateLimit,
    StreamTiming,
    TlsPeer,
    Tokens,
)
from openai_exporter.probe.families import families
from openai_exporter.probe.outcomes import OUTCOMES

from .results import result

FULL = result(
    phases=Phases(0.01, 0.02, 0.03, 0.3, 0.1),
    reused=True,
    stream=StreamTiming(0.1, 0.2, 0.01, 0.02, 55.5, 7),
    tokens=Tokens(12, 16, 4, 2),
    cost_usd=Decimal("0.0000092"),
    server_processing=0.25,
    rate_limits=(RateLimit("requests", 60, 59, 1.0), RateLimit("tokens", None, 10, None)),
    served_model="gpt-6-luna-2026-09-01",
    service_tier="default",
    content_length=974,
    http_version=1.1,
    body_length=1201,
    address="104.18.6.192:443",
    tls=TlsPeer(
        "TLS 1.3",
        "TLS_AES_256_GCM_SHA384",
        1_800_000_000.0,
        1_800_000_000.5,
        "ab12",
        "CN=api.openai.com",
        "CN=WE1,O=Google Trust Services,C=US",
        "api.openai.com,*.api.openai.com",
        "0a1b",
    ),
)
MODELS = result(
    endpoint=Endpoint.MODELS,
    models=(ModelCard("a", "openai", 5.0, 7.0), ModelCard("b")),
    expected_models=("a", "gone"),
)


def lines(answer: ProbeAnswer) -> list[str]:
    return [line for line in encode(families(answer)).decode().splitlines() if not line.startswith("#")]


def test_a_full_result_is_exposed_whole() -> None:
    found = lines(ProbeAnswer(FULL))
    for line in (
        "probe_success 1",
        "probe_duration_seconds 0.5",
        "probe_timeout_seconds 9.5",
        "probe_http_status_code 200",
        'probe_http_duration_seconds{phase="resolve"} 0.01',
        'probe_http_duration_seconds{phase="transfer"} 0.1',
        "probe_http_content_length 974",
        "probe_http_version 1.1",
        "probe_ssl_earliest_cert_expiry 1800000000",
        "probe_ssl_last_chain_expiry_timestamp_seconds 1800000000.5",
        'probe_tls_version_info{version="TLS 1.3"} 1',
        'probe_tls_cipher_info{cipher="TLS_AES_256_GCM_SHA384"} 1',
        "probe_dns_lookup_time_seconds 0.01",
        "probe_ip_protocol 4",
        "probe_ip_addr_hash 3072811905",
        "probe_http_uncompressed_body_length 1201",
        "probe_http_redirects 0",
        "probe_http_ssl 1",
        "probe_failed_due_to_regex 0",
        'openai_probe_outcome{outcome="success"} 1',
        'openai_probe_outcome{outcome="auth"} 0',
        "openai_probe_availability_valid 1",
        "openai_probe_availability_good 1",
        "openai_probe_connection_reused 1",
        "openai_probe_time_to_first_event_seconds 0.1",
        "openai_probe_time_to_first_token_seconds 0.2",
        "openai_probe_inter_token_seconds_mean 0.01",
        "openai_probe_inter_token_seconds_max 0.02",
        "openai_probe_token_arrivals 7",
        "openai_probe_output_tokens_per_second 55.5",
        'openai_probe_tokens{direction="cached"} 4',
        "openai_probe_server_processing_seconds 0.25",
        "openai_probe_cost_usd 9.2e-06",
        "openai_probe_cached_age_seconds 0",
        "openai_probe_backoff_seconds 0",
        "openai_probe_cost_limited 0",
        'openai_api_rate_limit_limit{limit_type="requests"} 60',
        'openai_api_rate_limit_remaining{limit_type="tokens"} 10',
        'openai_api_rate_limit_reset_seconds{limit_type="requests"} 1',
    ):
        assert line in found
    (network,) = [line for line in found if line.startswith("openai_probe_network_seconds")]
    assert float(network.split()[1]) == pytest.approx(0.05)
    (info,) = [line for line in found if line.startswith("openai_probe_model_info")]
    for label in (
        'requested_model="gpt-6-luna"',
        'served_model="gpt-6-luna-2026-09-01"',
        'service_tier="default"',
    ):
        assert label in info


def test_every_metric_of_the_page_is_exposed_by_one_of_these() -> None:
    made = {
        each.metric.name for found in (FULL, MODELS) for each in families(ProbeAnswer(found)) if each.samples
    }
    assert made == {name for name, metric in CATALOGUE.items() if metric.page is Page.PROBE}


def test_what_is_unknown_is_absent() -> None:
    bare = result("connect", status_code=0)
    found = "\n".join(line for line in lines(ProbeAnswer(bare)) if "outcome" not in line)
    for name in (
        "_ssl_",
        "tls_",
        "ip_",
        "first_token",
        "tokens",
        "cost_usd",
        "rate_limit",
        "model_info",
        "reused",
        "network",
    ):
        assert name not in found
    assert "probe_success 0" in found


def test_a_cached_answer_is_no_event_of_the_sli() -> None:
    found = lines(ProbeAnswer(FULL, age=7.5, cached=True, backoff=3.0, cost_limited=True, reason="backoff"))
    assert not any("availability" in line for line in found)
    assert "openai_probe_cached_age_seconds 7.5" in found
    assert "openai_probe_backoff_seconds 3" in found
    assert "openai_probe_cost_limited 1" in found


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_one_outcome_is_set_and_all_others_are_there(outcome: str) -> None:
    found = [line for line in lines(ProbeAnswer(result(outcome))) if line.startswith("openai_probe_outcome")]
    assert len(OUTCOMES) == len(found)
    assert [f'openai_probe_outcome{{outcome="{outcome}"}} 1'] == [
        line for line in found if line.endswith(" 1")
    ]


def test_models_with_their_dates_and_those_that_are_missed() -> None:
    found = lines(ProbeAnswer(MODELS))
    for line in (
        'openai_probe_model_listed{listed_model="a"} 1',
        'openai_probe_model_listed{listed_model="gone"} 0',
        'openai_model_info{model="b"} 1',
        'openai_model_created_timestamp_seconds{model="a"} 5',
        'openai_model_shutdown_timestamp_seconds{model="a"} 7',
    ):
        assert line in found
    assert 1 == sum(line.startswith("openai_model_shutdown") for line in found)


def test_a_list_that_did_not_come_says_nothing_about_models() -> None:
    failed: ProbeResult = replace(MODELS, models=(), success=False)
    assert not any("openai_probe_model_listed" in line for line in lines(ProbeAnswer(failed)))
