# SPDX-License-Identifier: Apache-2.0
"""`openai-exporter bundle` and `rules`: compile settings, thresholds and rules; check and try thresholds."""

import os
import textwrap
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from openai_exporter.cli.common import exit_on_error, print_problems
from openai_exporter.config.secret import printable
from openai_exporter.errors import ConfigError, Problem, StartError
from openai_exporter.files import write_atomically
from openai_exporter.rules import bundle as compiler
from openai_exporter.rules.bundle import bundle_root
from openai_exporter.rules.examples import failures
from openai_exporter.rules.rule_file import MISSING, build_from, find_promtool
from openai_exporter.rules.settings import Settings, parse_settings
from openai_exporter.rules.thresholds import ThresholdFile, load_thresholds, place_of

_thresholds = click.option(
    "--thresholds", type=click.Path(path_type=Path), default=Path(compiler.THRESHOLDS), show_default=True,
    metavar="FILE", help="The thresholds.",
)  # fmt: skip
_rules_dir = click.option(
    "--rules-dir", type=click.Path(path_type=Path), default=Path(compiler.RULES_DIR), show_default=True,
    metavar="FOLDER", help="Directory of Prometheus rule files; it need not exist.",
)  # fmt: skip


@click.group("rules")
def rules() -> None:
    """Check thresholds.yml and raw rule files, and try the thresholds; `openai-exporter bundle` compiles them.

    \b
    From the root of the bundle, or with --thresholds and --rules-dir:
      openai-exporter rules check
      openai-exporter rules test
    """


@rules.command("check")
@_thresholds
@_rules_dir
def check(thresholds: Path, rules_dir: Path) -> None:
    """Check thresholds and raw rules; writes nothing, exits 1 if there is an error.

    \b
    Each line names one error:
      alerting/thresholds.yml:12: thresholds[0].threshold: 5: must be ...
    """
    promtool = find_promtool()
    with exit_on_error():
        built = build_from(_loaded(thresholds), thresholds.name, rules_dir, promtool)
    enabled = sum(threshold.enabled for threshold in built.file.thresholds)
    click.echo(f"{thresholds}: {_counted(len(built.file.thresholds), 'threshold')}, {enabled} enabled")
    for name in built.raw:
        click.echo(printable(f"{rules_dir / name}: can be used"))
    click.echo(f"promtool accepts {_counted(built.rules, 'rule')}" if promtool else f"note: {MISSING}")
    _print_left_out(built.left_out, built.notes)
    if built.left_out:
        raise SystemExit(1)


@rules.command("test")
@_thresholds
def test(thresholds: Path) -> None:
    """Run the examples of the thresholds through promtool; exits 1 when one does not hold.

    \b
    An example is a value that lasts, or one value per probe, and whether the
    alert fires at some time:
      examples:
        - {value: 4.9s, fires: false}
        - {values: [1s x10, 9s x5], fires: true}
        - {values: [ok x10, fail, ok x10], fires: false}   # error_rate
    """
    promtool = find_promtool()
    with exit_on_error():
        if promtool is None:
            raise StartError(MISSING)
        file = _loaded(thresholds)
        failed = failures(file, promtool)
    for index, number in failed:
        example = file.thresholds[index].examples[number]
        outcome = "the alert stays silent" if example.fires else "the alert fires"
        place = place_of(thresholds, ("thresholds", index, "examples", number))
        click.echo(f"openai-exporter: {place}: {file.thresholds[index].name}: {outcome}", err=True)
    count = sum(len(threshold.examples) for threshold in file.thresholds)
    without = [threshold.name for threshold in file.thresholds if not threshold.examples]
    if without:
        click.echo(f"note: no examples: {', '.join(without)}")
    click.echo(f"{_counted(count, 'example')}, {len(failed)} failed")
    if failed:
        raise SystemExit(1)


def _loaded(thresholds: Path) -> ThresholdFile:
    """The thresholds, with what settings.yml beside them says for all rules."""
    root, path = bundle_root(), thresholds.parent / "settings.yml"
    settings = compiler.load_settings(path, root) if path.exists() else None
    return load_thresholds(thresholds, compiler.shared(root, settings.config if settings else {}))


def _print_left_out(left_out: tuple[Problem, ...], notes: tuple[str, ...]) -> None:
    if left_out:
        print_problems(ConfigError(list(left_out)))
        files = _counted(len({problem.place.partition(".yml")[0] for problem in left_out}), "file")
        click.echo(f"openai-exporter: {files} of raw rules skipped", err=True)
    for note in notes:
        click.echo(printable(f"note: {note}"), err=True)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# The bundle: rules, dashboards, routing, runbooks, manifests, default configuration.


@dataclass(frozen=True, slots=True)
class Part:
    """Some files of the bundle that are used together.

    Attributes:
        paths: files and directories, relative to the bundle's root.
        use: what to do with them, for --help and for what `openai-exporter bundle` prints.
    """

    paths: tuple[str, ...]
    use: str


PARTS: Mapping[str, Part] = {
    "prometheus": Part(
        ("prometheus/prometheus.yml", compiler.RULES),
        "reload Prometheus: kill -HUP, or POST /-/reload; it loads prometheus/rules/*.yml",
    ),
    "alerting": Part(
        (
            compiler.SETTINGS,
            "alerting/settings.schema.json",
            compiler.THRESHOLDS,
            compiler.RULES_DIR,
            compiler.ALERTMANAGER,
            compiler.TEMPLATE,
        ),
        "reload Alertmanager: kill -HUP, or POST /-/reload; it loads alerting/alertmanager/alertmanager.yml",
    ),
    "dashboards": Part(
        (compiler.DASHBOARDS, "dashboards/provisioning"), "Grafana reloads provisioned dashboards by itself"
    ),
    "exporter": Part(
        ("exporter/exporter.yml", "exporter/exporter.schema.json"),
        "the default configuration with its JSON Schema: openai-exporter --config.file=exporter/exporter.yml",
    ),
    "runbooks": Part(
        ("alerting/runbooks",), "one page per alert, to publish where links.runbooks of settings.yml points"
    ),
    "scale": Part(("prometheus/remote-write", "prometheus/sharding.yml"), "examples: remote write and several servers"),
    "mixin": Part(
        ("mixin.libsonnet", "jsonnetfile.json", "alerting", "dashboards"),
        "the Jsonnet sources, for jsonnet-bundler, Tanka and kube-prometheus",
    ),
    "kubernetes": Part(
        (
            "deploy/kubernetes",
            "dashboards",
            compiler.RULES,
            f"{compiler.RULES}/kustomization.yaml",
            "alerting/alertmanager",
        ),
        "Kustomize base and overlays: kubectl apply -k deploy/kubernetes/overlays/operator",
    ),
    "systemd": Part(("deploy/systemd", "exporter/exporter.yml"), "unit and settings for a Debian server"),
}
"""The parts by name, in the order of --help."""
DEFAULT = ("prometheus", "alerting", "dashboards")
"""What the three programs load."""
_YOURS = (
    compiler.SETTINGS,
    compiler.THRESHOLDS,
    compiler.RULES_DIR,
    "prometheus/prometheus.yml",
    "exporter/exporter.yml",
)
"""Files and directories that are written once and then belong to the user."""
_MARK = "Generated by"
"""In the first line of a file that is replaced by its next version."""
_SHOWN = 8
"""Files that are named when they are written."""

_PARTS_HELP = "\b\nParts:\n" + "\n".join(
    textwrap.fill(f"  {name:<11} {part.use}", 78, subsequent_indent=" " * 14, break_on_hyphens=False)
    for name, part in PARTS.items()
)


@click.command(epilog=_PARTS_HELP)
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--only", "only", multiple=True, type=click.Choice(list(PARTS)), metavar="PART",
    help="Write this part; may be given several times.  [default: prometheus, alerting, dashboards]",
)  # fmt: skip
@click.option("--grafana-url", metavar="URL", help="Root of Grafana for links, in a new settings.yml.")
@click.option("--selector", metavar="MATCHERS", help="Label matchers of the exporter's series, in a new settings.yml.")
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 1 when a file is stale or has an error.")
@click.option("--force", is_flag=True, help="Replace templates and manifests that you have changed.")
def bundle(
    directory: Path, only: tuple[str, ...], grafana_url: str | None, selector: str | None, only_check: bool, force: bool
) -> None:
    """Compile settings.yml, thresholds.yml and rules.d of DIR/alerting for Prometheus, Alertmanager and Grafana.

    The first run writes these sources, too, with every setting as a comment. After a change of yours, and after an
    upgrade, run it again. Your sources and prometheus.yml are never replaced; generated files always are.

    \b
    Examples:
      openai-exporter bundle my-monitoring
      openai-exporter bundle --grafana-url=https://grafana.example.org folder
      openai-exporter bundle --check my-monitoring       # in CI
      openai-exporter bundle --only kubernetes my-monitoring
    """
    flags = {("links", "grafana"): grafana_url, ("selector",): selector}
    with exit_on_error():
        root, parts = bundle_root(), only or DEFAULT
        text, settings = _settings(directory, root, {path: value for path, value in flags.items() if value is not None})
        made = compiler.compile_bundle(
            directory / "alerting", root, settings=settings, promtool=find_promtool(), operator="kubernetes" in parts
        )
        files = {**made.files, compiler.SETTINGS: text}
        texts = {
            path: files.get(path) or (root / path).read_bytes().decode() for path in part_files(root, parts, files)
        }
        changes = dict(_changes(directory, texts, force))
        if not only_check:
            _write(directory, {path: texts.get(path) for path, change in changes.items() if change != "kept"})
    _report(directory, changes, parts, only_check)
    if any(change != "kept" for change in changes.values()) or made.left_out:
        notes = () if settings.config.get("alertmanager", {}).get("channels") else (_NOBODY,)
        _print_left_out(made.left_out, made.notes + notes)
    if only_check and (made.left_out or any(change != "kept" for change in changes.values())):
        raise SystemExit(1)


_NOBODY = f"no channel is set, so alerts notify nobody; set one under channels: in {compiler.SETTINGS}"


def _settings(directory: Path, root: Path, flags: Mapping[tuple[str, ...], str]) -> tuple[str, Settings]:
    """The settings of the directory, or new ones with what the flags say.

    Raises:
        ConfigError: they are there already and say something else.
    """
    path = directory / compiler.SETTINGS
    if not os.path.lexists(path):
        text = compiler.with_values((root / compiler.SETTINGS).read_text(encoding="utf-8"), flags)
        name = str(path) if not flags else f"{path}, new with the flags"
        return text, parse_settings(text, name, compiler.facts(root))
    settings = compiler.load_settings(path, root)
    wrong = [
        settings.document.problem(keys, f"the flag says {value!r}, the file does not; change it in the file")
        for keys, value in flags.items()
        if settings.value(keys) != value
    ]
    if wrong:
        raise ConfigError(wrong)
    return path.read_text(encoding="utf-8"), settings


def part_files(root: Path, names: Collection[str], made: Collection[str]) -> list[str]:
    """Every file of the parts of these names, relative to the root, sorted; those that are compiled among them."""
    paths = tuple({path for name in names for path in PARTS[name].paths})
    shipped = {file.relative_to(root).as_posix() for path in paths for file in _files(root / path)}
    compiled = {path for path in made if _is_below(path, paths)}
    # Of directories that are compiled, only what is compiled.
    others = {path for path in shipped if _is_below(path, (compiler.RULES, compiler.DASHBOARDS)) and path not in paths}
    return sorted((shipped - others) | compiled)


def _is_below(path: str, holders: tuple[str, ...]) -> bool:
    return any(path == holder or path.startswith(f"{holder}/") for holder in holders)


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for child in sorted(path.iterdir()) if path.is_dir() else ():
        # What an editor, an interpreter or an interrupted `make generate` leaves in a source tree.
        if not child.name.startswith((".", "__pycache__")):
            yield from _files(child)


def _changes(directory: Path, texts: Mapping[str, str], force: bool) -> Iterator[tuple[str, str]]:
    """Each file that is not as it should be, and what becomes of it."""
    for name, text in texts.items():
        path = directory / name
        before = path.read_bytes() if path.is_file() else None
        if before == text.encode() or (os.path.lexists(path) and _is_below(name, _YOURS)):
            continue
        if before is None:
            yield name, "new"
        else:
            yield name, "changed" if force or _is_below(name, (compiler.DASHBOARDS,)) or _is_marked(before) else "kept"
    if any(_is_below(name, (compiler.RULES,)) for name in texts):
        for path in sorted((directory / compiler.RULES).glob("*.yml")):
            if f"{compiler.RULES}/{path.name}" not in texts and _is_marked(path.read_bytes()):
                yield f"{compiler.RULES}/{path.name}", "removed"


def _is_marked(content: bytes) -> bool:
    return _MARK.encode() in content.partition(b"\n")[0]


def _write(directory: Path, texts: Mapping[str, str | None]) -> None:
    """Write these files, each atomically, and remove those without a text.

    Raises:
        StartError: a file cannot be written; the message names it.
    """
    for name, text in texts.items():
        path = directory / name
        try:
            if text is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text, mode=0o644)  # Prometheus reads it as another user
        except OSError as error:
            problem = f"{path}: cannot be written: {error.strerror}; choose a DIR that this user may write to"
            raise StartError(problem) from error


def _report(directory: Path, changes: Mapping[str, str], parts: tuple[str, ...], only_check: bool) -> None:
    """What was done, and what to reload; in a check, what is stale."""
    kept = [name for name, change in changes.items() if change == "kept"]
    done = {name: change for name, change in changes.items() if change != "kept"}
    for name in kept:
        click.echo(printable(f"note: {directory / name} is kept as you changed it; --force replaces it"), err=True)
    if only_check:
        words = {"new": "is missing", "changed": "is stale", "removed": "is no longer compiled"}
        for name, change in done.items():
            click.echo(printable(f"openai-exporter: {directory / name}: {words[change]}"), err=True)
        if done:
            click.echo(printable(f"openai-exporter: run `openai-exporter bundle {directory}`"), err=True)
        return
    if not done:
        click.echo(printable(f"{directory}: up to date"))
        return
    if len(done) > _SHOWN:
        click.echo(printable(f"{directory}: {_counted(len(done), 'file')} written"))
    else:
        for name, change in done.items():
            click.echo(printable(f"{directory / name}: {change}"))
    console = Console(highlight=False)
    for part in parts:
        if any(_is_below(name, PARTS[part].paths) and not _is_below(name, _YOURS) for name in done):
            console.print(f"  [bold]{part:<11}[/] {PARTS[part].use}", soft_wrap=True)
