# SPDX-License-Identifier: Apache-2.0
"""No spelling of a key survives, no text is longer than its bound, no control character gets through."""

import base64
import json
import unicodedata
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, strategies as st

from openai_exporter.config import Config
from openai_exporter.config.load import parse_config
from openai_exporter.config.secret import MAX_BODY, MAX_LABEL, MAX_MESSAGE, Masker, mask_keys, named_secrets

KEY = 'p@ss"word/9+Zk3v'
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60)


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        json.dumps({"key": KEY}),
        f"https://x/?key={quote(KEY, safe='')}",
        "Basic " + base64.b64encode(KEY.encode()).decode(),
        f"{KEY}{KEY}",
    ],
)
def test_every_spelling_of_a_configured_key_is_masked(text: str) -> None:
    shown = Masker([KEY]).mask(text)
    for spelling in (
        KEY,
        json.dumps(KEY)[1:-1],
        quote(KEY, safe=""),
        base64.b64encode(KEY.encode()).decode(),
    ):
        assert spelling not in shown
    assert "<secret>" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "Incorrect API key provided: sk-proj-********************Rw8x.",
            "Incorrect API key provided: <secret>",
        ),
        ("key sk-abcdefghij", "key <secret>"),
        ("Authorization: Bearer abcdefgh\nX: 1", "Authorization: Bearer <secret>\nX: 1"),
        ("HTTP_AUTHORIZATION=Bearer abcdefgh", "HTTP_AUTHORIZATION=Bearer <secret>"),
        ('{"authorization": "Bearer x y", "a": 1}', '{"authorization": <secret>, "a": 1}'),
        ("api-key: 0123456789abcdef", "api-key: <secret>"),
        (
            "the header Authorization: Bearer abcdefgh is not valid; see the guide",
            "the header Authorization: Bearer <secret> is not valid; see the guide",
        ),
        ("authorization=basic dTpw, then ask again.", "authorization=basic <secret>, then ask again."),
        ("wrong x-api-key: 0123 (of 2 known).", "wrong x-api-key: <secret> (of 2 known)."),
        ("Authorization: Bearer\nX: 1", "Authorization: <secret>\nX: 1"),
        (
            'Proxy-Authorization: Digest username="u", response="0a1b"\nX: 1',
            "Proxy-Authorization: <secret>\nX: 1",
        ),
        (
            '{"message": "Authorization: Bearer abc is bad"}',
            '{"message": "Authorization: Bearer <secret> is bad"}',
        ),
        ("set-cookie: __cf_bm=abc; path=/", "set-cookie: <secret>"),
        ("Bearer abcdefgh01234567", "Bearer <secret>"),
        ("http://user:password@proxy:1/", "http://<secret>@proxy:1/"),
        ("an answer about cookies and basic things", "an answer about cookies and basic things"),
        ("task-force desk-work", "task-force desk-work"),
    ],
)
def test_keys_by_their_form(text: str, shown: str) -> None:
    assert shown == Masker().mask(text)


@given(st.text(st.sampled_from("skrp-_Bbearer basicAIzahf_eyJ.:/@xai0123456789\n"), max_size=80))
def test_nothing_that_the_configuration_masks_is_missed(text: str) -> None:
    assert mask_keys(Masker().mask(text)) == Masker().mask(text)


TOKENS = st.text(st.sampled_from("abcXYZ0189-._~+/"), min_size=6, max_size=60).map(lambda text: f"q{text}q=")
"""Keys as RFC 6750 writes them; the letters q mark where they begin and end."""
SENTENCES = st.text(st.sampled_from("an old key () , . ; not valid\u00e9"), max_size=40)


@given(
    st.sampled_from(["Authorization: Bearer ", "authorization=basic ", "Proxy-Authorization: Token  ", "x-api-key: "]),
    TOKENS,
    SENTENCES,
    SENTENCES,
)
def test_of_a_key_in_a_sentence_the_key_alone_is_masked(header: str, key: str, before: str, after: str) -> None:
    shown = Masker().mask(f"{before} {header}{key} {after}")
    assert shown == f"{before} {header}<secret> {after}"


@given(TOKENS, SENTENCES, st.sampled_from(["", ".", ",", ")", "\n", '"', "\\n"]))
def test_no_key_is_left_whatever_follows_it(key: str, sentence: str, end: str) -> None:
    masker = Masker()
    text = f"{sentence} Authorization: Bearer {key}{end}{sentence}"
    for shown in (masker.mask(text), masker.body(text), masker.message(text)):
        assert key[:-2] not in shown


def test_a_header_of_many_dots_is_masked_in_one_pass() -> None:
    assert Masker().body("Authorization: Bearer " + "." * 200_000).startswith("Authorization: Bearer <secret>")


def test_tiny_keys_do_not_tear_texts_apart() -> None:
    assert Masker(["a", "x"]).mask("an exact answer") == "an exact answer"


def test_a_masker_never_shows_what_it_masks() -> None:
    assert KEY not in repr(Masker([KEY]))


@given(KEYS, st.integers(0, 5000), st.integers(1, 40))
def test_no_half_of_a_key_is_left_where_a_text_is_cut(key: str, before: int, times: int) -> None:
    text = "." * before + key * times
    masker = Masker([key])
    for shown in (masker.label(text), masker.message(text), masker.body(text)):
        assert key[:8] not in shown.replace("<secret>", "|")


@given(st.text(max_size=6000))
def test_texts_are_bounded_and_printable(text: str) -> None:
    masker = Masker([KEY])
    assert len(masker.body(text)) <= MAX_BODY
    for shown, limit in ((masker.label(text), MAX_LABEL), (masker.message(text), MAX_MESSAGE)):
        assert len(shown) <= limit
        assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in shown)
        shown.encode()


def test_secrets_in_a_request_are_known_by_their_names() -> None:
    extra = {"a": [{"password": "one"}], "token": "two", "tokens": "no", "api_key": {"value": "no"}, "n": 5}
    assert sorted(named_secrets(extra)) == ["one", "two"]


@pytest.mark.parametrize(
    "text",
    [
        KEY.lower(),
        KEY.encode().hex(),
        "".join(f"%{byte:02X}" for byte in KEY.encode()),
        "".join(f"\\u{ord(character):04X}" for character in KEY),
        base64.b64encode(f"Bearer {KEY}".encode()).decode(),
        base64.b64encode(f":{KEY}".encode()).decode(),
        base64.b64encode(f"user:{KEY}:".encode()).decode(),
    ],
    ids=[
        "lower case",
        "hex",
        "percent",
        "unicode escapes",
        "base64 of Bearer",
        "base64 of :KEY",
        "base64 inside",
    ],
)
def test_disguises_of_a_configured_key_are_masked(text: str) -> None:
    assert "<secret>" in Masker([KEY]).mask(text)


LONG_KEY = "kiosk-5-sesame-0123456789"
FORMS = (LONG_KEY, LONG_KEY.upper(), LONG_KEY.swapcase(), LONG_KEY[:14], "k\u0131o\u017fK" + LONG_KEY[5:])


@given(st.lists(st.sampled_from([*FORMS, "\u00e9", " ", "x", "kiosk"]), max_size=6))
def test_no_form_of_a_key_slips_through_in_a_longer_text(pieces: list[str]) -> None:
    shown = Masker([LONG_KEY]).mask(" ".join(pieces)).casefold()
    assert LONG_KEY not in shown
    assert LONG_KEY[:12] not in shown
    assert LONG_KEY[5:] not in shown


def test_the_beginning_of_a_long_key_is_masked_with_what_follows() -> None:
    key = "abcdefghijklMNOPQRSTuvwxyz0123456789"

    assert Masker([key]).mask(f"wrong key {key[:16]}…") == "wrong key <secret>…"


def test_a_text_of_many_half_tokens_is_masked_in_one_pass() -> None:
    assert Masker([KEY]).body("-eyJaaaaaaaa" * 6000).startswith("-eyJ")


URL = "http://127.0.0.1:1/v1"


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_keys_the_longer_is_masked_whole(order: int) -> None:
    masker = Masker(["abcdef-1"])
    for key in ("abcdef-123456", "abcdef-1234")[::order]:
        masker.learn(key)
    assert masker.mask("abcdef-123456") == "<secret>"


def configuration(key: str) -> Config:
    """One target whose key is this, and a module with a password of its own."""
    text = f"""
    targets: [{{name: api, base_url: {URL}, {key}}}]
    modules: {{chat: {{endpoint: chat, request: {{extra: {{password: hunter-22}}}}}}}}
    probes: [{{target: api, module: chat, models: [m]}}]
    """
    return parse_config(text, "test", {"KEY": "battery-staple"}, Path())


def test_keys_that_were_ever_configured_or_used_are_masked(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("correct-horse-1")
    config = configuration(f"api_key_file: {path}")
    masker = Masker()
    masker.follow(config)
    path.unlink()
    masker.follow(config)
    masker.follow(configuration("api_key_env: KEY"))
    masker.learn("later-key-9")
    assert masker.mask("correct-horse-1 battery-staple later-key-9 hunter-22").count("<secret>") == 4
