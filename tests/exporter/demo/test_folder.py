# SPDX-License-Identifier: Apache-2.0
"""The demo's folder: whose it is, and that two demos never share it."""

from pathlib import Path

import pytest

from openai_exporter.demo.folder import held
from openai_exporter.errors import StartError


def test_what_an_earlier_demo_left_is_gone(tmp_path: Path) -> None:
    with held(tmp_path):
        (tmp_path / "exporter.yml").touch()
        (tmp_path / "prometheus").mkdir()
        (tmp_path / "prometheus" / "wal").touch()
    with held(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {".openai-exporter-demo", "logs"}


def test_a_second_demo_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with held(tmp_path):
        (tmp_path / "exporter.yml").touch()
        with (
            pytest.raises(StartError, match="already; end it, or choose another"),
            held(tmp_path),
        ):
            pass
        assert (tmp_path / "exporter.yml").exists()


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()

    with pytest.raises(StartError, match="is not empty and not a folder of the demo"), held(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(StartError, match="cannot be written: Not a directory"),
        held(tmp_path / "file" / "data"),
    ):
        pass
