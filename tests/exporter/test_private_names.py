# SPDX-License-Identifier: Apache-2.0
"""Names of libraries that are private to them: where we use them, and that the installed libraries still have them."""

import ast
import asyncio.sslproto
import platform
import ssl
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import openai
import pytest

PACKAGE = Path(__file__).parents[2] / "exporter" / "openai_exporter"
TREES = {path: ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}


def _tls() -> set[str]:
    protocol = asyncio.sslproto.SSLProtocol
    return {*dir(protocol), *protocol.__init__.__code__.co_names}


def _ssl_object() -> set[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return set(dir(context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")))


def _openai() -> set[str]:
    return set(dir(openai.AsyncOpenAI(api_key="unused", base_url="http://127.0.0.1:1/v1")))


PRIVATE: dict[str, tuple[str, str, Callable[[], set[str]]]] = {
    "_on_handshake_complete": ("asyncio of Python", "3.11, 3.12, 3.13", _tls),
    "_process_outgoing": ("asyncio of Python", "3.11, 3.12, 3.13", _tls),
    "_transport": ("asyncio of Python", "3.11, 3.12, 3.13", _tls),
    "_sslobj": ("ssl of Python", "3.11, 3.12, 3.13", _ssl_object),
    "_custom_headers": ("openai", "3.57", _openai),
}
"""Name to the library, the versions that it was seen in, and the names of its object."""


@pytest.mark.parametrize("name", PRIVATE)
def test_the_installed_library_has_the_private_name(name: str) -> None:
    library, seen, names = PRIVATE[name]
    installed = platform.python_version() if library.endswith("Python") else version(library)
    assert name in names(), (
        f"{_files_with(name)[0]} uses {name}, which {library} {seen} had; {library} {installed} has no such name: "
        f"find what took its place, or require a version below {installed}"
    )


def test_every_private_name_of_a_library_is_on_the_list_and_used_by_one_file() -> None:
    used = {name for tree in TREES.values() for name in _foreign(tree)}
    assert used == set(PRIVATE)
    assert {name: len(_files_with(name)) for name in PRIVATE} == dict.fromkeys(PRIVATE, 1)


def _files_with(name: str) -> list[str]:
    return [str(path.relative_to(PACKAGE)) for path, tree in TREES.items() if name in _foreign(tree)]


def _foreign(tree: ast.Module) -> Iterator[str]:
    """Private names that a file uses and no file of ours defines."""
    for node in ast.walk(tree):
        name = ""
        if isinstance(node, ast.Attribute):
            name = node.attr
            if ast.unparse(node.value) == "super()" and _is_private(name):
                yield name
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr"):
            name = str(node.args[1].value) if isinstance(node.args[1], ast.Constant) else ""
        if _is_private(name) and name not in OURS:
            yield name


def _ours() -> Iterator[str]:
    for node in (node for tree in TREES.values() for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr if ast.unparse(node.value) == "self" else ""


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_exit"  # os._exit is documented


OURS = frozenset(_ours())
