# SPDX-License-Identifier: Apache-2.0
"""The command line itself: how commands end, and how they print."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text
from typer.core import TyperGroup

from .. import __version__
from ..errors import TrouvailleError


class Interrupted(BaseException):
    """Ctrl-C, with what there is to say of it; no handler of a framework's takes it for its own."""


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands in the order of use."""
        return ["index", "search", "extract", "draw", "match", "vocabulary", "evaluate", "demo"]

    def invoke(self, ctx: Any) -> Any:
        """Run a command; typer would end the program by itself at a KeyboardInterrupt."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("Interrupted.") from None


app = typer.Typer(
    cls=_Commands,
    help="Find the same object in a large collection of photos.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
# Names of photos are printed as they are: `[red]` in one is no markup, and `:smile:` no picture.
out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)

FAILED, INTERRUPTED = 1, 130  # exit codes; 2 is a command line that makes no sense


def main() -> None:
    """Run the command line; a user's mistake ends in one line and an exit code."""
    try:
        app()
    except (Interrupted, KeyboardInterrupt) as interruption:
        err.print(str(interruption) or "Interrupted.", soft_wrap=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except (TrouvailleError, ValueError, OSError, ImportError) as error:
        err.print(Text.assemble(("error:", "red"), " ", _message(error)), soft_wrap=True)
        sys.exit(FAILED)


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {plain(error.filename)}" if error.filename else "")
    return plain(error)


def plain(name: object) -> str:
    """Return text as it can be printed: what a terminal cannot show, or might obey, is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(name))


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    # Names that are not UTF-8 can be escaped in ASCII only; any terminal shows that.
    out.print_json(json.dumps(value, allow_nan=False), ensure_ascii=True)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield the library's progress callback, drawn as one bar a stage where a person looks on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def callback(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield callback
