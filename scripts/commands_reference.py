"""Writes docs/reference/commands.md from the commands themselves, so that the page cannot be wrong.

Usage: commands_reference.py [--check]
"""

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from firmcast.cli.main import app

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/commands.md"

HEAD = """# Commands

`firmcast COMMAND --help` says the same. Commands find a platform on this machine by what it left in its data folder,
`./firmcast-data` or `--data`; any other by `--url`. Those that ask for `--app` and `--secret` play the application,
the others need an administrator's token, which a platform on this machine left in its folder too.

With `--json` a command prints one JSON document, an object or an array; `upgrade watch`, `listen` and `demo` print an
object a line. What went wrong stands on standard error. The status is 0 when all was done, 1 when not, 2 for wrong
usage; `upgrade watch` ends with 3 when not every device was upgraded. This page is written by
`scripts/commands_reference.py`.
"""


def commands(group: Any, path: tuple[str, ...] = ("firmcast",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with its words, in the order of `--help`."""
    for name, command in group.commands.items():
        here = (*path, name)
        if hasattr(command, "commands"):
            yield from commands(command, here)
        else:
            yield here, command


def section(words: tuple[str, ...], command: Any) -> str:
    """Return what the page says of one command."""
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join([*words, *map(argument_word, arguments)])
    described = [f"`{argument_word(argument)}`: {help_of(argument)}" for argument in arguments]
    lines = [f"## `{usage}`", "", " ".join((command.help or "").split()), ""]
    if described:
        lines += [*(f"- {line}" for line in described), ""]
    lines += ["| option | environment | default | what it is |", "| --- | --- | --- | --- |"]
    lines += [option_row(option) for option in options if option.name != "help"]
    return "\n".join(lines) + "\n"


def argument_word(argument: Any) -> str:
    """Return an argument as usage lines have it."""
    word = str(argument.name).upper().rstrip("_") + ("..." if argument.nargs == -1 else "")
    return word if argument.required else f"[{word}]"


def option_row(option: Any) -> str:
    """Return the line of one option."""
    names = " ".join(f"`{name}`" for name in option.opts)
    variables = option.envvar if isinstance(option.envvar, list) else [option.envvar] if option.envvar else []
    needed = "needed" if option.required else shown(option.default)
    return f"| {names} | {' '.join(f'`{variable}`' for variable in variables)} | {needed} | {help_of(option)} |"


def shown(default: object) -> str:
    """Return a default as it would be typed."""
    if default in (None, "", False, (), []):
        return ""
    return f"`{default.value if isinstance(default, Enum) else default}`"


def help_of(parameter: Any) -> str:
    """Return what is said of a parameter, on one line of a table."""
    return " ".join(str(parameter.help or "").split()).replace("|", "\\|")


def main() -> None:
    """Write the page, or with --check say whether it is up to date by the exit status."""
    found = commands(typer.main.get_command(app))
    page = HEAD + "".join(f"\n{section(words, command)}" for words, command in found)
    if "--check" in sys.argv:
        sys.exit(
            0
            if PAGE.exists() and PAGE.read_text() == page
            else f"{PAGE.name} is out of date: run {Path(__file__).name}"
        )
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
