# SPDX-License-Identifier: Apache-2.0
"""What a browser must not run."""

from openai_exporter.report import page
from tests.exporter.report.commands import one_project

HOSTILE = '=HYPERLINK("http://x")|<script>alert(1)</script>\n| `x` | [red]'


def test_a_hostile_name_is_text_on_the_page() -> None:
    html = page.render(one_project(HOSTILE))

    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert page.render(one_project("x")).count("<rect ") == html.count("<rect ")
