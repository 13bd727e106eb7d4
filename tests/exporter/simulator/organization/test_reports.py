# SPDX-License-Identifier: Apache-2.0
"""The cache of encoded buckets."""

from openai_exporter.simulator.organization.reports import BucketCache, bucket, page


class Kitchen:
    """Makes buckets of ten bytes and counts them."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> bytes:
        self.made += 1
        return b"0123456789"


def test_a_bucket_is_made_once_for_each_stamp() -> None:
    cache, make = BucketCache(), Kitchen()
    for stamp in (1, 1, 2, 2, 1):
        cache.get("day", stamp, make)
    assert make.made == 3


def test_the_least_recently_used_goes_first_when_room_is_short() -> None:
    cache, make = BucketCache(most_bytes=25), Kitchen()
    for key in ("a", "b", "a", "c"):
        cache.get(key, 0, make)
    assert make.made == 3
    cache.get("a", 0, make)
    assert make.made == 3
    cache.get("b", 0, make)
    assert make.made == 4


def test_a_bucket_that_is_made_anew_takes_no_more_room() -> None:
    cache, make = BucketCache(most_bytes=25), Kitchen()
    cache.get("other", 0, make)
    for stamp in range(9):
        cache.get("day", stamp, make)
    cache.get("other", 0, make)
    assert make.made == 10


def test_a_bucket_larger_than_the_room_is_still_served() -> None:
    assert BucketCache(most_bytes=3).get("day", 0, Kitchen()) == b"0123456789"


def test_what_was_cleared_is_made_again() -> None:
    cache, make = BucketCache(), Kitchen()
    cache.get("day", 0, make)
    cache.clear()
    cache.get("day", 0, make)
    assert make.made == 2


def test_pages_are_joined_as_json() -> None:
    assert page([bucket(0, 60, []), bucket(60, 120, ["{}"])], None) == (
        b'{"object":"page","data":[{"object":"bucket","start_time":0,"end_time":60,"results":[]},'
        b'{"object":"bucket","start_time":60,"end_time":120,"results":[{}]}],"has_more":false,"next_page":null}'
    )
