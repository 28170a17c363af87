"""Errors and warnings as the commands say them: one message, without a traceback."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from tarslab.errors import TarslabError


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """Print a TarslabError as one message and exit with code 2, without a traceback."""
    try:
        yield
    except TarslabError as error:
        Console(stderr=True).print(f"[red]Error:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(2) from None


@contextmanager
def warnings_as_messages() -> Iterator[None]:
    """Print a warning as one message, without the line of code that it came from."""

    def show(message: Warning | str, *_: object) -> None:
        Console(stderr=True).print(f"[yellow]Warning:[/] {escape(str(message))}", soft_wrap=True)

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        yield
