# SPDX-License-Identifier: Apache-2.0
"""Every metric, label and recorded series that a page names exists; every metric is on a page or reasoned away."""

import re
from collections.abc import Iterator, Mapping
from functools import cache

import pytest

from openai_exporter.metrics import CATALOGUE
from tests.dashboards.pages import Page, expressions, pages
from tests.mixin.bundle import evaluate, rule_files
from tests.mixin.lint.checks import GROWTH
from tests.mixin.lint.files import recorded_labels
from tests.mixin.lint.labels import Inference
from tests.mixin.lint.nodes import Aggregate, Node, selectors
from tests.mixin.lint.parser import parse

ADDED = frozenset({"up", "scrape_duration_seconds", "scrape_samples_scraped", "ALERTS", "ALERTS_FOR_STATE"})
"""What Prometheus adds to each target and alert."""
PROCESS = frozenset(
    {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds", "process_open_fds"}
)
"""What the Prometheus client library tells of the process."""
NOT_SHOWN = {
    "probe_http_content_length": "the size of an answer of a few tokens tells nothing; debug=true shows it",
    **dict.fromkeys(
        (
            "probe_dns_lookup_time_seconds",
            "probe_http_redirects",
            "probe_http_ssl",
            "probe_http_uncompressed_body_length",
            "probe_ip_addr_hash",
            "probe_ip_protocol",
            "probe_ssl_last_chain_expiry_timestamp_seconds",
            "probe_ssl_last_chain_info",
            "probe_tls_cipher_info",
            "probe_tls_version_info",
        ),
        "for the dashboards and rules of blackbox_exporter",
    ),
    "probe_http_version": "does not change; debug=true shows it",
    "probe_failed_due_to_regex": "an outcome (content_mismatch) that the table of last probes shows",
    **dict.fromkeys(
        ("openai_exporter_stack_info", "openai_exporter_stack_problems", "openai_exporter_simulated_with_real_key"),
        "of the Compose stack alone; alerts tell it",
    ),
    "openai_exporter_config_unreadable_keys": "the outcome no_credentials and failing usage show which, and alert",
    "openai_probe_last_result_timestamp_seconds": "lets rules count each result once",
    "openai_probe_result_source": "says why a result has an age; debug=true shows it",
    "openai_probe_token_arrivals": "says why a stream has no gaps; debug=true shows it",
    "openai_probe_tokens": "openai_api_tokens_total adds it up on the page Exporter",
    "openai_probe_time_to_first_token_seconds": "the histogram openai_api_time_to_first_token_seconds shows it",
    "openai_credit_expired_usd": "what is left is shown",
    "openai_credit_expires_timestamp_seconds": "the time at which the credit is exhausted counts expiries",
    "openai_budget_spent_ratio": "the recorded ratio, which also has the greater of both ways of counting, is shown",
    "openai_usage_calls_last_hour": "the chart of API calls shows the pace; their alert reads it",
    "openai_usage_calls_limit": "a setting; their alert reads it",
    "openai_usage_image_input_tokens_total": "a part of the input tokens, which are shown whole",
    "openai_usage_image_output_tokens_total": "a part of the output tokens, which are shown whole",
    "openai_usage_loss_ratio": "0 but until the next full read; the log tells what is missing",
    "openai_usage_negative_rows": "they are in the corrections, which the page Exporter shows as taken back",
    "openai_usage_skipped_entries": "the log tells which and why",
    "openai_usage_unpriced_images_total": "no list has a price per image; the images are shown",
    "openai_usage_unpriced_characters_total": "the alert OpenAIUnpricedModel tells models and amounts",
    "openai_usage_unpriced_audio_seconds_total": "the alert OpenAIUnpricedModel tells models and amounts",
    "openai_usage_unread_since_timestamp_seconds": "gone after the first minutes; OpenAIUsageDataStale reads it",
    "openai_user_info": "joined for names only",
    "openai_project_info": "joined for names only",
}
"""Metrics that are deliberately on no page, and why; those joined for names count as shown where they are joined."""
_BUILT_IN = {
    "$__interval_ms": "3600000",
    "$__rate_interval": "5m",
    "$__interval": "1h",
    "$window": "20m",
    "$__range_s": "21600",
    "$__range": "6h",
}
_NO_LABEL = re.compile(r',none[=!]~"[^"]*"')
"""A matcher of a label that no series has: it says whether All is chosen."""
_RECORDED = re.compile(r"\b[a-z_]+:[a-zA-Z0-9_]+:[a-zA-Z0-9_]+\b")


def plain(text: str) -> str:
    """An expression that the linter's parser reads: variables filled in, `@` and steps of subqueries left out."""
    text = _NO_LABEL.sub("", text)
    for name, value in _BUILT_IN.items():
        text = text.replace(name, value)
    text = re.sub(r"=~\"([^\"]*)\"", lambda found: f'=~"{re.sub(r"[$][a-z]+", "x", found[1])}"', text)
    text = re.sub(r"=\"\$[a-z]+\"", '="x"', text)
    return (
        re.sub(r"(\[\w+):\w+\]", r"\1]", re.sub(r"\)\[\w+:\w+\]", ")", text))
        .replace(" @ end()", "")
        .replace(" @ 0", "")
        .replace("offset -", "offset ")
    )


class Labels(Inference):
    """Knows besides that topk and bottomk keep the labels of what they choose from, and count_values adds one."""

    def labels(self, node: Node) -> frozenset[str] | None:
        """Labels of the result."""
        if isinstance(node, Aggregate) and node.op in ("topk", "bottomk"):
            return self.labels(node.expr)
        if isinstance(node, Aggregate) and node.op == "count_values":
            return frozenset({*node.labels, str(getattr(node.args[0], "text", ""))})
        return super().labels(node)


@cache
def _recorded() -> dict[str, frozenset[str]]:
    return recorded_labels(rule_files())


def _problems(text: str) -> list[str]:
    inference = Labels(_recorded(), ADDED | PROCESS)
    inference.labels(parse(plain(text)))
    # An alert carries what its rule gives it; test_alerts.py holds those of "Firing alerts" to the rules.
    if "ALERTS{" in text:
        return [each for each in inference.problems if not each.endswith("the series have no such label")]
    return list(inference.problems)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_names_and_labels_of_a_page_exist(page: Page) -> None:
    assert {} == {where: found for where, text in expressions(page) if (found := _problems(text))}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_names_in_variables_exist(page: Page) -> None:
    for variable in page.variables.values():
        named = set(re.findall(r"\b(?:openai|probe)_\w+", variable["query"]))
        assert named <= set(CATALOGUE)


def _shown() -> set[str]:
    found = set()
    for page in pages():
        for _, text in expressions(page):
            found |= {selector.metric for selector in selectors(parse(plain(text)))}
    return {re.sub("_bucket$", "", name) for name in found}


def test_every_metric_of_the_catalogue_is_on_a_page_or_deliberately_not() -> None:
    shown = _shown()
    through_rules = {
        name
        for document in rule_files().values()
        for group in document["groups"]
        for rule in group["rules"]
        if rule.get("record") in shown
        for name in re.findall(r"\w+", rule["expr"])
    }

    assert set(CATALOGUE) - shown - through_rules - set(NOT_SHOWN) == set()


def test_the_list_of_what_is_not_shown_is_not_longer_than_need_be() -> None:
    assert set(NOT_SHOWN) <= set(CATALOGUE)
    assert set(NOT_SHOWN) & _shown() <= {"openai_user_info", "openai_project_info"}


def test_the_names_that_pages_use_are_those_of_the_catalogue() -> None:
    tree = evaluate("import 'dashboards/lib/metric.libsonnet'")
    names = {name for group in tree.values() for name in group.values()}
    bare = {re.sub("_bucket$", "", name) for name in names}

    assert bare - ADDED - PROCESS <= set(CATALOGUE)


def test_recorded_series_come_from_the_shared_names() -> None:
    """Windows and names follow the settings: another period changes pages and rules together."""
    changed = evaluate(
        "local m = (import 'mixin.libsonnet') + { _config+:: { slo+: { period: '28d' } } };"
        "{ pages: m.grafanaDashboards, rules: m.prometheusRules }"
    )
    recorded = {rule["record"] for group in changed["rules"]["groups"] for rule in group["rules"]}
    used = {
        name
        for document in changed["pages"].values()
        for _, text in expressions(Page("changed", document))
        for name in _RECORDED.findall(text)
    }

    assert used
    assert used <= recorded
    assert any(name.endswith("28d") for name in used)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_recorded_growth_is_added_up_over_a_range(page: Page) -> None:
    """A single one is the growth of five minutes, and is gone before the next comes."""
    for where, text in expressions(page):
        bare = [each.metric for each in selectors(parse(plain(text))) if GROWTH.search(each.metric) and not each.range]
        assert bare == [], where


def _alerts() -> Iterator[Mapping[str, str]]:
    """Annotations of every alert."""
    for document in rule_files().values():
        for group in document["groups"]:
            yield from (rule["annotations"] for rule in group["rules"] if "alert" in rule)


def test_alerts_link_to_panels_that_exist_over_the_last_hours_and_hand_over_no_empty_variable() -> None:
    drawing = {(page.json["uid"], panel.json["id"]) for page in pages() for panel in page.panels}
    urls = {found["dashboard_url"] for found in _alerts()}
    links = [re.fullmatch(r"[^?]*/d/([\w-]+)\?from=now-6h&to=now&viewPanel=(\d+)(.*)", url) for url in urls]
    handed = r"(\{\{ with \$labels\.(\w+) \}\}&var-\2=\{\{ \. \| urlquery \}\}\{\{ end \}\})*"

    print(f"{len(links)} links")
    assert all(link and (link[1], int(link[2])) in drawing and re.fullmatch(handed, link[3]) for link in links)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_alerts_hand_over_variables_that_the_page_has(page: Page) -> None:
    for found in _alerts():
        url = found["dashboard_url"]
        if f"/d/{page.json['uid']}?" in url:
            assert set(re.findall(r"var-(\w+)=", url)) <= set(page.variables), found["summary"]
