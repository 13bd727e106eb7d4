# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter probe`: one probe from the terminal."""

import asyncio
import json
import os
import sys
import urllib.request
from pathlib import Path

import click

from openai_exporter.cli import logging as structured
from openai_exporter.cli.failing import FAILED, told
from openai_exporter.config import Config
from openai_exporter.exposition import Instruments
from openai_exporter.model import ProbeAnswer, ProbeKey
from openai_exporter.web.board import probe_keys
from openai_exporter.web.live import read_config
from openai_exporter.web.masking import Masker
from openai_exporter.web.names import Refusal, find_probe
from openai_exporter.web.settings import Settings


@click.command()
@click.option("--target", metavar="NAME", help="Target; may be left out when there is one.")
@click.option("--module", metavar="NAME", help="Module; may be left out when the target has one.")
@click.option("--model", metavar="NAME", help="Model; may be left out when the module has one.")
@click.option(
    "--config.file", "config_file", type=click.Path(path_type=Path), envvar="OPENAI_EXPORTER_CONFIG_FILE",
    show_envvar=True, metavar="FILE", help="Configuration; without one, OPENAI_API_KEY is enough.",
)  # fmt: skip
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
    help="Total deadline; the module's own when that is shorter.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the whole result as JSON.")
@click.option(
    "--debug", is_flag=True,
    help="Print all that /probe?debug=true shows: log, metrics, module, request and reply, secrets masked.",
)  # fmt: skip
def probe(
    target: str | None,
    module: str | None,
    model: str | None,
    config_file: Path | None,
    timeout: float | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Make one probe now, and show timings, headers and outcome. It costs what one request costs.

    \b
    Examples:
      OPENAI_API_KEY=... openai-exporter probe --module models
      openai-exporter probe --config.file exporter.yml --target openai --module chat --model gpt-5.4-mini
      openai-exporter probe --module chat_stream --model gpt-5.4-mini --json | jq .stream.first_token
      openai-exporter probe --module chat --model gpt-6-luna --debug

    \b
    Exit status: 0 when the probe succeeded, 1 when it failed, 2 for a wrong flag.
    """
    if as_json and debug:
        raise click.UsageError("--json and --debug are two forms of the same; choose one")
    masker = Masker()
    structured.configure("error", "logfmt", masker)
    settings = Settings(env=dict(os.environ), config_file=config_file)
    with told():
        config = read_config(settings)
    masker.follow(config)
    key = _key(config, {"target": target, "module": module, "model": model})
    answer = asyncio.run(_probe(config, key, timeout))
    if as_json:
        from openai_exporter.cli.rendering import as_document

        click.echo(masker(json.dumps(as_document(answer), indent=2)))
    elif debug:
        from openai_exporter.probe.explain import explain

        click.echo(masker(explain(answer, config.modules[key.module])), nl=False)
    else:
        from openai_exporter.cli.rendering import show

        show(answer, masker)
    sys.exit(0 if answer.result.success else FAILED)


def _key(config: Config, given: dict[str, str | None]) -> ProbeKey:
    query = {name: value for name, value in given.items() if value}
    for name in ("target", "module"):
        left = {getattr(each, name) for each in _fitting(config, query)}
        if name not in query and len(left) == 1:
            query[name] = left.pop()
    if "model" not in query:
        models = [key.model for key in _fitting(config, query) if key.model]
        if models and {"target", "module"} <= query.keys():
            query["model"] = models[0]
    found = find_probe(config, query)
    if isinstance(found, Refusal):
        raise click.UsageError(found.message.replace("parameter ", "--"))
    return found


def _fitting(config: Config, query: dict[str, str]) -> list[ProbeKey]:
    """The probes that fit what was given; all of them when none does, so that the wrong part is told."""
    keys = probe_keys(config)
    found = [key for key in keys if all(getattr(key, name) == value for name, value in query.items())]
    return found or keys


async def _probe(config: Config, key: ProbeKey, timeout: float | None) -> ProbeAnswer:
    from openai_exporter.probe.history import History
    from openai_exporter.probe.service import Prober

    prober = Prober(
        config,
        instruments=Instruments(process=False),
        history=History(1),
        proxies=urllib.request.getproxies(),
    )
    try:
        await prober.warm()
        return await prober.probe(key, timeout)
    finally:
        await prober.close()
