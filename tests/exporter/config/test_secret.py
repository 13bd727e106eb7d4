# SPDX-License-Identifier: Apache-2.0
"""Keys: where they come from, what they look like, and that nothing shows one."""

import base64
import copy
import dataclasses
import json
import logging
import os
import pickle
import traceback
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given, strategies as st
from pydantic import TypeAdapter

from openai_exporter.config import Config, Credential, Secret, dump
from openai_exporter.config.load import parse_config
from openai_exporter.config.secret import (
    MAX_BODY,
    MAX_LABEL,
    MAX_MESSAGE,
    Masker,
    credential,
    looks_like_key,
    mask_keys,
    named_secrets,
    names_a_secret,
    shown,
)
from openai_exporter.errors import CredentialError

# Key files are read as they are now; what cannot be a key is refused without being shown.

KEY = "sk-proj-AAAABBBBCCCCDDDD"


def test_a_traceback_of_a_credential_error_has_no_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{KEY} {KEY}")
    with pytest.raises(CredentialError) as caught:
        credential("key", None, {}, tmp_path).read()
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_key_file_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-first\n")
    found = credential("key", None, {}, tmp_path)
    assert found.read().reveal() == "sk-first"
    path.write_text("sk-second\n")
    assert found.read().reveal() == "sk-second"


def test_a_key_that_is_swapped_behind_a_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("sk-first")
    (tmp_path / "two").write_text("sk-second")
    link = tmp_path / "key"
    link.symlink_to("one")
    found = credential("key", None, {}, tmp_path)
    assert found.read().reveal() == "sk-first"
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(link)
    assert found.read().reveal() == "sk-second"


def test_a_key_file_that_went_away_is_an_error_until_it_is_back(tmp_path: Path) -> None:
    path = tmp_path / "key"
    found = credential("key", None, {}, tmp_path)
    with pytest.raises(CredentialError, match="No such file"):
        found.read()
    path.write_text("sk-first")
    assert found.read().reveal() == "sk-first"


def test_a_key_file_of_somebody_else_is_told_with_the_user_that_may_not_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("sk-first")

    def refused(*_: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    # Root may read everything.
    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(CredentialError, match=r"cannot be read: Permission denied; let user \d+, .* read it"):
        credential("key", None, {}, tmp_path).read()


@pytest.mark.parametrize(
    ("content", "key"),
    [(b"sk-a", "sk-a"), (b"\xef\xbb\xbfsk-a\r\n\r\n", "sk-a"), (b"  sk-a  \n", "sk-a"), (b"dGVzdA==", "dGVzdA==")],
)
def test_white_space_around_a_key_does_not_matter(tmp_path: Path, content: bytes, key: str) -> None:
    (tmp_path / "key").write_bytes(content)
    assert key == credential("key", None, {}, tmp_path).read().reveal()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty; put the key there"),
        (b" \n", "is empty; put the key there"),
        (b"sk-a\nsk-b\n", "holds more than one key, or characters that no key has; put nothing but the key there"),
        (b"sk-a\x00", "holds more than one key, or characters that no key has; put nothing but the key there"),
        ("sk-ä".encode(), "holds more than one key, or characters that no key has; put nothing but the key there"),
        (b"sk-\xff", "is not a text file; put the bare key there"),
        (b'"sk-a"', "holds a quote or NAME=; put nothing but the key there"),
        (b"OPENAI_API_KEY=sk-a", "holds a quote or NAME=; put nothing but the key there"),
        (b"export OPENAI_API_KEY=sk-a", "holds a quote or NAME=; put nothing but the key there"),
        (b"x" * 8193, "is larger than 8192 bytes; put nothing but the key there"),
    ],
)
def test_what_cannot_be_a_key_is_refused_without_being_shown(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(CredentialError) as caught:
        credential("key", None, {}, tmp_path).read()
    assert f"api_key_file {path}: {reason}" == str(caught.value)
    assert (f"api_key_file {path}", reason) == (caught.value.place, caught.value.reason)


def test_a_pipe_or_a_folder_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(CredentialError, match="is not a regular file; put the key into one"):
            credential(name, None, {}, tmp_path).read()


def test_a_variable_is_read_when_the_configuration_is() -> None:
    found = credential(None, "KEY", {"KEY": f" {KEY}\n"}, Path(), "admin_key")
    assert (found.place, found.name, found.path) == ("environment variable KEY", "KEY", None)
    assert found.read().reveal() == KEY


def test_an_unset_variable_is_an_error_with_the_remedy() -> None:
    with pytest.raises(CredentialError) as caught:
        credential(None, "KEY", {}, Path()).read()
    assert str(caught.value) == "environment variable KEY: is not set or empty; set it to the key, or remove this entry"


def test_a_home_that_is_not_known_leaves_the_path_as_it_is(tmp_path: Path) -> None:
    assert tmp_path / "~nobody-of-that-name/key" == credential("~nobody-of-that-name/key", None, {}, tmp_path).path


def test_relative_and_home_paths_resolve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert tmp_path / "key" == credential("key", None, {}, tmp_path).path
    assert Path("/run/key") == credential("/run/key", None, {}, tmp_path).path
    assert Path("/home/me/key") == credential("~/key", None, {}, tmp_path).path


# No spelling of a key survives, no text is longer than its bound, no control character gets through.

CONFIGURED_KEY = 'p@ss"word/9+Zk3v'
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60)


@pytest.mark.parametrize(
    "text",
    [
        CONFIGURED_KEY,
        json.dumps({"key": CONFIGURED_KEY}),
        f"https://x/?key={quote(CONFIGURED_KEY, safe='')}",
        "Basic " + base64.b64encode(CONFIGURED_KEY.encode()).decode(),
        f"{CONFIGURED_KEY}{CONFIGURED_KEY}",
    ],
)
def test_every_spelling_of_a_configured_key_is_masked(text: str) -> None:
    shown = Masker([CONFIGURED_KEY]).mask(text)
    for spelling in (
        CONFIGURED_KEY,
        json.dumps(CONFIGURED_KEY)[1:-1],
        quote(CONFIGURED_KEY, safe=""),
        base64.b64encode(CONFIGURED_KEY.encode()).decode(),
    ):
        assert spelling not in shown
    assert "<secret>" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Incorrect API key provided: sk-proj-********************Rw8x.", "Incorrect API key provided: <secret>"),
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
        ('Proxy-Authorization: Digest username="u", response="0a1b"\nX: 1', "Proxy-Authorization: <secret>\nX: 1"),
        ('{"message": "Authorization: Bearer abc is bad"}', '{"message": "Authorization: Bearer <secret> is bad"}'),
        ("set-cookie: __cf_bm=abc; path=/", "set-cookie: <secret>"),
        ("Cookie: a=b", "Cookie: <secret>"),
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
    masked = Masker().mask(f"{before} {header}{key} {after}")
    assert masked == f"{before} {header}<secret> {after}"


@given(TOKENS, SENTENCES, st.sampled_from(["", ".", ",", ")", "\n", '"', "\\n"]))
def test_no_key_is_left_whatever_follows_it(key: str, sentence: str, end: str) -> None:
    masker = Masker()
    text = f"{sentence} Authorization: Bearer {key}{end}{sentence}"
    for masked in (masker.mask(text), masker.body(text), masker.message(text)):
        assert key[:-2] not in masked


def test_a_header_of_many_dots_is_masked_in_one_pass() -> None:
    assert Masker().body("Authorization: Bearer " + "." * 200_000).startswith("Authorization: Bearer <secret>")


def test_tiny_keys_do_not_tear_texts_apart() -> None:
    assert Masker(["a", "x"]).mask("an exact answer") == "an exact answer"


def test_a_masker_never_shows_what_it_masks() -> None:
    assert CONFIGURED_KEY not in repr(Masker([CONFIGURED_KEY]))


@given(KEYS, st.integers(0, 5000), st.integers(1, 40))
def test_no_half_of_a_key_is_left_where_a_text_is_cut(key: str, before: int, times: int) -> None:
    text = "." * before + key * times
    masker = Masker([key])
    for masked in (masker.label(text), masker.message(text), masker.body(text)):
        assert key[:8] not in masked.replace("<secret>", "|")


@given(st.text(max_size=6000))
def test_texts_are_bounded_and_printable(text: str) -> None:
    masker = Masker([CONFIGURED_KEY])
    assert len(masker.body(text)) <= MAX_BODY
    for masked, limit in ((masker.label(text), MAX_LABEL), (masker.message(text), MAX_MESSAGE)):
        assert len(masked) <= limit
        assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in masked)
        masked.encode()


def test_secrets_in_a_request_are_known_by_their_names() -> None:
    extra = {"a": [{"password": "one"}], "token": "two", "tokens": "no", "api_key": {"value": "no"}, "n": 5}
    assert sorted(named_secrets(extra)) == ["one", "two"]


@pytest.mark.parametrize(
    "text",
    [
        CONFIGURED_KEY.lower(),
        CONFIGURED_KEY.encode().hex(),
        "".join(f"%{byte:02X}" for byte in CONFIGURED_KEY.encode()),
        "".join(f"\\u{ord(character):04X}" for character in CONFIGURED_KEY),
        base64.b64encode(f"Bearer {CONFIGURED_KEY}".encode()).decode(),
        base64.b64encode(f":{CONFIGURED_KEY}".encode()).decode(),
        base64.b64encode(f"user:{CONFIGURED_KEY}:".encode()).decode(),
    ],
    ids=[
        "lower case",
        "hex",
        "percent",
        "unicode escapes",
        "base64 of Bearer",
        "base64 of :CONFIGURED_KEY",
        "base64 inside",
    ],
)
def test_disguises_of_a_configured_key_are_masked(text: str) -> None:
    assert "<secret>" in Masker([CONFIGURED_KEY]).mask(text)


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
    assert Masker([CONFIGURED_KEY]).body("-eyJaaaaaaaa" * 6000).startswith("-eyJ")


URL = "http://127.0.0.1:1/v1"


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_keys_the_longer_is_masked_whole(order: int) -> None:
    masker = Masker(["abcdef-1"])
    for key in ("abcdef-123456", "abcdef-1234")[::order]:
        masker.learn(key)
    assert masker.mask("abcdef-123456") == "<secret>"


def configured_with(key: str) -> Config:
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
    config = configured_with(f"api_key_file: {path}")
    masker = Masker()
    masker.follow(config)
    path.unlink()
    masker.follow(config)
    masker.follow(configured_with("api_key_env: KEY"))
    masker.learn("later-key-9")
    assert masker.mask("correct-horse-1 battery-staple later-key-9 hunter-22").count("<secret>") == 4


# What is taken for a key, and what is not.

BODY = st.text("ABCDEFabcdef0123456789_-", min_size=12, max_size=150)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("sk-proj-abcdefgh", "<secret>"),
        ("key sk-admin-abc_def-012, twice sk-abcdef0", "key <secret>, twice <secret>"),
        ("Authorization: Bearer abcdef.012", "Authorization: Bearer <secret>"),
        ('{"authorization": "Basic dXNlcjpwdw=="}', '{"authorization": <secret>}'),
        ("sent Bearer abcdef0123456789abcdef", "sent Bearer <secret>"),
        ("https://user:password@example.com/v1", "https://<secret>@example.com/v1"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "<secret>"),
        ("gsk_0123456789abc", "<secret>"),
    ],
)
def test_a_key_is_masked_within_a_text(text: str, masked: str) -> None:
    assert masked == mask_keys(text)
    assert looks_like_key(text)


@pytest.mark.parametrize(
    "text",
    [
        "gpt-5.4-mini",
        "text-embedding-3-small",
        "ft:gpt-4o-mini-2024-07-18:acme:support:AbC123dE",
        "task-force-overview-dashboard",
        "OPENAI_API_KEY",
        "/run/secrets/openai_api_key",
        "https://api.openai.com/v1",
        "Reply with the word: pong",
        "risk-assessment-2026",
        "Solve a basic arithmetic exercise.",
        "the bearer of this letter",
        "needs authorization: ask",
    ],
)
def test_ordinary_names_are_left_alone(text: str) -> None:
    assert text == mask_keys(text)
    assert not looks_like_key(text)


def test_a_long_run_without_a_prefix_counts_as_a_key_in_messages() -> None:
    assert looks_like_key("0123456789abcdef0123456789abcdef")
    assert shown("0123456789abcdef0123456789abcdef") == "'<secret>'"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *[(name, True) for name in ("api_key", "x-api-key", "Authorization", "password", "openai_api_key", "key")],
        *[(name, False) for name in ("max_tokens", "prompt_cache_key", "monkey", "user")],
    ],
)
def test_some_names_say_that_their_value_is_a_secret(name: str, secret: bool) -> None:
    assert secret == names_a_secret(name)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (7, "7"),
        (0.5, "0.5"),
        ("word", "'word'"),
        ("two\nlines", r"'two\nlines'"),
        ("x" * 61, f"'{'x' * 57}...'"),
        ("x" * 55 + " sk-proj-abcdefgh", f"'{'x' * 55} <...'"),
    ],
)
def test_a_value_is_quoted_on_one_short_line(value: object, text: str) -> None:
    assert text == shown(value)


@given(BODY, st.text(" \n.:/xyz\"'", max_size=5000), st.text(" \n.:/xyz\"'", max_size=50))
def test_no_openai_key_survives_wherever_it_stands(body: str, before: str, after: str) -> None:
    key = f"sk-{body}"
    for text in (mask_keys(f"{before} {key} {after}"), shown(f"{before} {key} {after}")):
        assert body[:12] not in text


# Keys never show.


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    secret: Secret


def configuration(tmp_path: Path) -> Config:
    (tmp_path / "key").write_text(KEY)
    text = """
targets:
- {name: a, api_key_env: KEY}
- {name: b, api_key_file: key}
organizations:
- {name: main, admin_key_env: KEY}
"""
    return parse_config(text, "f.yml", {"KEY": KEY}, tmp_path)


SHOWN: dict[str, Callable[[Secret], str]] = {
    "str": str,
    "repr": repr,
    "format": "{}".format,
    "format_width": lambda secret: f"{secret:>40}",
    "f_string_repr": lambda secret: f"{secret!r}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - logging formats like this.
    "list": lambda secret: str([secret]),
    "dict": lambda secret: str({"key": secret}),
    "dataclass": lambda secret: repr(Holder(secret)),
    "asdict": lambda secret: str(dataclasses.asdict(Holder(secret))),
    "credential": lambda secret: repr(Credential("place", value=secret)),
    "error": lambda secret: str(ValueError(secret)),
    "copy": lambda secret: repr([copy.copy(secret), copy.deepcopy(secret)]),
    "json_default": lambda secret: json.dumps(secret, default=str),
}


@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN.keys())
def test_a_secret_shows_a_mask(show: Callable[[Secret], str]) -> None:
    text = show(Secret(KEY))
    assert "<secret>" in text
    assert KEY not in text


@pytest.mark.parametrize(
    "serialise",
    [
        pickle.dumps,
        json.dumps,
        yaml.safe_dump,
        yaml.dump,
        lambda secret: secret.__getstate__(),
        lambda secret: TypeAdapter(object).dump_json(secret),
        lambda secret: pickle.dumps(Credential("place", value=secret)),
    ],
    ids=["pickle", "json", "yaml_safe", "yaml", "getstate", "pydantic", "pickle_credential"],
)
def test_nothing_serialises_a_secret(serialise: Callable[[Secret], object]) -> None:
    with pytest.raises(Exception, match=r".") as caught:
        serialise(Secret(KEY))
    assert KEY not in str(caught.value)


def test_a_secret_reveals_the_key_when_asked() -> None:
    assert Secret(KEY).reveal() == KEY
    assert copy.deepcopy(Secret(KEY)).reveal() == KEY


def test_secrets_compare_by_key_so_that_a_reload_sees_a_changed_one() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert hash(Secret("a")) == hash(Secret("a"))


def test_no_view_of_a_configuration_shows_a_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = configuration(tmp_path)
    logging.getLogger("test").warning("loaded %s %r", config, config.target_credential("a"))
    views = [
        repr(config),
        str(config),
        dump(config),
        config.model_dump_json(),
        str(config.model_dump()),
        str(config.__dict__),
        repr(config.target_credential("b")),
        repr(config.__pydantic_private__),
        yaml.safe_dump(config.model_dump(mode="json")),
        repr(config.model_copy(deep=True)),
        caplog.text,
    ]
    assert [view for view in views if KEY in view] == []
    for whole in (config, config.target_credential("a")):
        with pytest.raises(TypeError, match="a secret is not serialised"):
            pickle.dumps(whole)
