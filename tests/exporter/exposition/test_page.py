# SPDX-License-Identifier: Apache-2.0
"""A page is encoded once per format and served often."""

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor

from openai_exporter.exposition import EncodedPage, Family, encode
from openai_exporter.metrics import probe


def page_of(count: int) -> EncodedPage:
    found = Family(probe.TOKENS)
    for index in range(count):
        found.add(index, f"direction-{index}")
    return EncodedPage([found])


def test_each_format_is_encoded_once_and_kept() -> None:
    page = page_of(3)
    for openmetrics in (False, True):
        for compressed in (False, True):
            first = page.body(openmetrics=openmetrics, compressed=compressed)
            assert first is page.body(openmetrics=openmetrics, compressed=compressed)


def test_a_body_is_what_encode_makes() -> None:
    page = page_of(3)
    assert encode(page.families) == page.body()
    assert encode(page.families, openmetrics=True) == page.body(openmetrics=True)


def test_a_compressed_body_unpacks_to_the_plain_one() -> None:
    page = page_of(1000)
    for openmetrics in (False, True):
        packed = page.body(openmetrics=openmetrics, compressed=True)
        plain = page.body(openmetrics=openmetrics)
        assert plain == gzip.decompress(packed)
        assert len(packed) < len(plain) / 4


def test_the_same_page_has_the_same_bytes_whenever_it_is_made() -> None:
    assert page_of(5).body(compressed=True) == page_of(5).body(compressed=True)


def test_scrapes_at_once_share_one_encoding() -> None:
    page, barrier = page_of(20_000), threading.Barrier(8)

    def scrape(_: int) -> bytes:
        barrier.wait()
        return page.body(compressed=True)

    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(scrape, range(8)))
    assert len({id(body) for body in bodies}) == 1


def test_a_page_does_not_change_with_the_list_it_was_made_of() -> None:
    families = [Family(probe.TOKENS, [(("input",), 1.0)])]
    page = EncodedPage(families)
    families.clear()
    assert b"openai_probe_tokens" in page.body()
