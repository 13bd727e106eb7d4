# SPDX-License-Identifier: Apache-2.0
"""The command `openai-exporter`: finds the subcommand and loads only that one's code."""

import errno
import pkgutil
import platform
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import click
from click.shell_completion import get_completion_class

from openai_exporter import __version__

COMMANDS: Mapping[str, tuple[str, str]] = {
    "serve": ("openai_exporter.cli.serve:serve", "Run the exporter (also when no command is given)."),
    "check": ("openai_exporter.cli.check:check", "Check a configuration file."),
    "probe": ("openai_exporter.cli.probe:probe", "Make one probe and explain it."),
    "report": ("openai_exporter.cli.report:report", "Report usage and costs of a period."),
    "limits": ("openai_exporter.cli.limits:limits", "Show and change spend limits, alerts and rate limits."),
    "backfill": ("openai_exporter.cli.report:backfill", "Export historical usage and costs for Prometheus."),
    "demo": ("openai_exporter.cli.demo:demo", "Run everything together on the simulator."),
    "demo-history": ("openai_exporter.cli.demo:demo_history", "Import made-up historical data into a new Prometheus."),
    "rules": ("openai_exporter.cli.rules:rules", "Compile thresholds and raw rules for Prometheus."),
    "page-sink": ("openai_exporter.cli.demo:page_sink", "Receive pages and show them, for demos and tests."),
    "simulate": ("openai_simulator.server:simulate_command", "Run a simulated OpenAI API."),
    "bundle": ("openai_exporter.cli.rules:bundle", "Write rules, dashboards and routing to a directory."),
    "schema": ("openai_exporter.cli.check:schema", "Print the JSON Schema of the configuration."),
    "metrics": ("openai_exporter.cli.check:metrics", "Print every metric with its type and labels."),
    "completion": ("openai_exporter.cli.main:completion", "Print the completion script of a shell."),
}
"""Where each command is, and its line in --help, so that the list loads none of them."""

_OWN_FLAGS = ("--help", "-h", "--version")


class Commands(click.Group):
    """A group that loads a command when it is used, and takes `serve` when none is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of --help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the command's module; None for an unknown name."""
        if name not in COMMANDS:
            return None
        command: click.Command = pkgutil.resolve_name(COMMANDS[name][0])
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is answered with those that are near."""
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read flags without a command as those of `serve`."""
        # While a shell completes, nothing typed yet means a command to come.
        named = ctx.resilient_parsing and not args
        if not named and (not args or (args[0].startswith("-") and args[0] not in _OWN_FLAGS)):
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run; output that cannot be written is one sentence."""
        try:
            return super().main(*args, **extra)
        except OSError as error:
            if error.filename or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            with suppress(OSError):
                sys.stdout.close()  # or what it holds is tried once more at the exit
            click.echo(f"Error: the output cannot be written: {error.strerror}", err=True)
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a key that was pasted in a wrong place does not come back in an error."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            from openai_exporter.config.secret import mask_keys

            raise click.UsageError(mask_keys(error.format_message()), error.ctx) from None

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The version, then the usage line."""
        formatter.write(f"openai-exporter {__version__}\n\n")
        super().format_usage(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(
    __version__, prog_name="openai-exporter", message=f"%(prog)s %(version)s (Python {platform.python_version()})"
)
def main() -> None:
    """Prometheus exporter for the OpenAI API: probes, usage, costs, limits.

    \b
    With nothing but keys in the environment it probes a small set of models and
    reads the organization:
      OPENAI_API_KEY=... OPENAI_ADMIN_KEY=... openai-exporter
    Try it without a key:
      openai-exporter simulate --listen-address 127.0.0.1:8085 &
      export OPENAI_BASE_URL=http://127.0.0.1:8085/v1
      OPENAI_API_KEY=sk-any openai-exporter
    With a configuration:
      openai-exporter check exporter.yml
      openai-exporter --config.file=exporter.yml
    Then point Prometheus at it:
      scrape_configs:
        - job_name: openai
          http_sd_configs: [{url: "http://localhost:9985/sd"}]
    """


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    In bash:
      openai-exporter completion bash \\
          > ~/.local/share/bash-completion/completions/openai-exporter
    In zsh:
      openai-exporter completion zsh > "${fpath[1]}/_openai-exporter"
    In fish:
      openai-exporter completion fish \\
          > ~/.config/fish/completions/openai-exporter.fish
    For one session of bash: source <(openai-exporter completion bash)
    """
    completer = get_completion_class(shell)
    assert completer is not None, "click knows the three shells that it lets through"
    # click derives the same name from the program's, and answers the shell when it is set.
    variable = "_OPENAI_EXPORTER_COMPLETE"
    click.echo(completer(main, {}, "openai-exporter", variable).source())
