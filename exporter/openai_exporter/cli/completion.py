# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter completion`: the script with which a shell completes commands and flags."""

import click
from click.shell_completion import get_completion_class

_PROGRAM = "openai-exporter"
_VARIABLE = "_OPENAI_EXPORTER_COMPLETE"
"""click derives the same name from the program's, and answers the shell when it is set."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash  openai-exporter completion bash > ~/.local/share/bash-completion/completions/openai-exporter
    zsh   openai-exporter completion zsh > "${fpath[1]}/_openai-exporter"
    fish  openai-exporter completion fish > ~/.config/fish/completions/openai-exporter.fish
    For one session of bash: source <(openai-exporter completion bash)
    """
    from openai_exporter.cli.main import main

    chosen = get_completion_class(shell)
    assert chosen is not None, "click knows the three shells that it lets through"
    click.echo(chosen(main, {}, _PROGRAM, _VARIABLE).source())
