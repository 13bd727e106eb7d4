# SPDX-License-Identifier: Apache-2.0
"""The command line: the only package that reads arguments and the environment, and ends the process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

organization_option = click.option("--organization", metavar="NAME", help="May be left out when there is one.")


def config_file_option(without: str) -> Callable[[_Command], _Command]:
    """The option --config.file; `without` says what is enough without a configuration."""
    return click.option(
        "--config.file", "config_file", type=click.Path(path_type=Path), envvar="OPENAI_EXPORTER_CONFIG_FILE",
        show_envvar=True, metavar="FILE", help=f"Configuration; without one, {without} enough.",
    )  # fmt: skip
