# SPDX-License-Identifier: Apache-2.0
"""The text of one probe for people."""

from openai_exporter.config.probing import Module
from openai_exporter.model import ProbeAnswer
from openai_exporter.probe.explain import explain

from .results import result

MODULE = Module.model_validate(
    {
        "endpoint": "chat",
        "request": {
            "prompt": "hi",
            "extra": {"user": "sk-proj-0123456789abcdef", "access_token": "hunter-22"},
        },
    }
)


def test_everything_about_a_failure_stands_in_one_text() -> None:
    failed = result(
        "auth", message="status 401: no. Check the target's key.", log=("at=0 event=start", "at=1 event=judgement"),
        request="POST https://x\nauthorization: <secret>", reply="HTTP/1.1 401\n\n{}",
    )  # fmt: skip
    text = explain(ProbeAnswer(failed), MODULE)
    for part in (
        "Outcome:\nauth: The API does not accept the key.\nstatus 401: no. Check the target's key.\nFresh: ",
        "Logs for the probe:\nat=0 event=start\nat=1 event=judgement\n\n",
        "Metrics that would have been returned:\n# HELP probe_success",
        "Module configuration:\nendpoint: chat\n",
        "Request:\nPOST https://x\nauthorization: <secret>\n\n",
        "Reply:\nHTTP/1.1 401\n\n{}\n",
    ):
        assert part in text
    assert "sk-proj" not in text
    assert "hunter-22" not in text


def test_a_cached_answer_says_so_and_what_is_missing_is_named() -> None:
    text = explain(ProbeAnswer(result(), age=3.0, cached=True, backoff=2.0, reason="backoff"), MODULE)
    assert "From the cache (backoff), 3.0 s old; the API is left alone for 2.0 s more." in text
    assert "Request:\nnone was sent" in text
    assert "Reply:\nnone came" in text
