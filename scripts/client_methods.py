"""Writes the methods of both clients of the SDK from the calls, so that each call is declared once.

A public function of `firmcast_sdk/client/calls/` that returns `Call[X]` becomes a method that returns X, one that
returns `Paging[X]` a method that returns a listing of X; parameters and docstring stay as they are.

Usage: client_methods.py [--check]
"""

import ast
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CLIENT = Path(__file__).resolve().parent.parent / "sdk/src/firmcast_sdk/client"
FEW_ARGUMENTS = 12
INDENT = " " * 12
SECTIONS = ("subscriptions", "packages", "upgrades", "devices", "device_groups", "events")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """How one of the two clients says what the calls say."""

    folder: str
    sender: str
    sender_module: str
    listing: str
    feed: str
    definition: str
    result: str
    client: str


SURFACES = (
    Surface(
        folder="blocking",
        sender="BlockingSender",
        sender_module="blocking_sender",
        listing="Listing",
        feed="EventFeed",
        definition="def",
        result="return self._call",
        client="the blocking client",
    ),
    Surface(
        folder="asynchronous",
        sender="AsyncSender",
        sender_module="async_sender",
        listing="AsyncListing",
        feed="AsyncEventFeed",
        definition="async def",
        result="return await self._call",
        client="the client of an event loop",
    ),
)


def module_text(section: str, surface: Surface) -> str:
    """Return the module that holds the methods of `section`, before it is formatted."""
    tree = ast.parse((CLIENT / "calls" / f"{section}.py").read_text())
    words = section.replace("_", " ")
    class_name = "".join(word.capitalize() for word in section.split("_"))
    lines = [
        f'"""The calls of {surface.client} on {words}; written by `scripts/client_methods.py`, not by hand."""',
        "",
        *imports(tree),
        f"from firmcast_sdk.client.{surface.sender_module} import {surface.sender}",
        f"from firmcast_sdk.client.listing import {surface.listing}",
        f"from firmcast_sdk.client.following import {surface.feed}",
        f"from firmcast_sdk.client.calls import {section} as calls",
        "",
        "",
        f"class {class_name}({surface.sender}):",
        f'    """The calls on {words}."""',
    ]
    for function in declared(tree):
        lines += ["", *method(function, surface)]
    return "\n".join(lines) + "\n"


def imports(tree: ast.Module) -> Iterator[str]:
    """Yield what the declarations import; what a method does not name is taken out again by the formatter."""
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield ast.unparse(node)


def declared(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Yield the functions that declare a call."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node


def method(function: ast.FunctionDef, surface: Surface) -> list[str]:
    """Return the lines of the method for one declaration."""
    returned = function.returns
    assert returned is not None
    kind, _, item = ast.unparse(returned).removesuffix("]").partition("[")
    match kind:
        case "Following":
            definition, result, sending = "def", surface.feed, "return self._follow"
        case "Call":
            definition, result, sending = surface.definition, item, surface.result
        case "Paging":
            definition, result, sending = "def", f"{surface.listing}[{item}]", "return self._listing"
        case _:
            sys.exit(f"{function.name} returns neither a Call nor a Paging nor a Following")
    given = function.args
    passed = [*(one.arg for one in given.args), *(f"{one.arg}={one.arg}" for one in given.kwonlyargs)]
    parameters = ", ".join(["self", *([ast.unparse(given)] if passed else [])])
    docstring = ast.get_docstring(function, clean=False)
    return [
        f"    {definition} {function.name}({parameters}) -> {result}:",
        *f'        """{docstring}"""'.replace("\n    ", "\n        ").split("\n"),
        *sent(f"        {sending}(calls.{function.name}(", passed),
    ]


def sent(beginning: str, passed: list[str]) -> list[str]:
    """Return the statement that makes the call; many arguments fill lines, so that the method stays within a screen."""
    if len(passed) <= FEW_ARGUMENTS:
        return [f"{beginning}{', '.join(passed)}))"]
    return [
        beginning,
        *textwrap.wrap(f"{', '.join(passed)},", 120, initial_indent=INDENT, subsequent_indent=INDENT),
        "        ))  # fmt: skip",
    ]


def formatted(text: str, path: Path) -> str:
    """Return `text` without imports that nobody uses, and in the form of the house."""
    ruff = [sys.executable, "-m", "ruff"]
    for command in (
        ["check", "--quiet", "--fix-only", "--select", "F401,I001", "--stdin-filename", str(path), "-"],
        ["format", "--quiet", "--stdin-filename", str(path), "-"],
    ):
        text = subprocess.run([*ruff, *command], input=text, capture_output=True, text=True, check=True).stdout
    return text


def modules() -> Iterator[tuple[Path, str]]:
    """Yield each module that is written here, with its text."""
    for surface in SURFACES:
        for section in SECTIONS:
            path = CLIENT / surface.folder / f"{section}.py"
            yield path, formatted(module_text(section, surface), path)


def main() -> None:
    """Write the modules, or with --check say by the exit status whether they are up to date."""
    stale = [(path, text) for path, text in modules() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        told = [f"{path} is not what the calls say; run scripts/client_methods.py" for path, _ in stale]
        sys.exit("\n".join(told) or 0)
    for path, text in stale:
        path.write_text(text)
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
