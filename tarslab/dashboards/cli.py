"""``tarslab dashboard``: dashboards as pages, for those who write no code."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from tarslab.messages import errors_as_messages

app = typer.Typer(help="Open a dashboard in the browser.", no_args_is_help=True)


@app.callback()
def dashboard() -> None:
    """Open a dashboard in the browser."""


@app.command()
def operator(
    url: Annotated[
        str | None, typer.Option(help="Of the service; else TARSLAB_URL or the profile.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Of ~/.config/tarslab/profiles.toml.")] = None,
    port: Annotated[int | None, typer.Option(help="By default any that is free.")] = None,
) -> None:
    """Serve the operator dashboard, on this machine alone, until Ctrl-C.

    It says the address once, with a token: whoever has it has what the dashboard can do. From
    another machine, tunnel: ssh -L 8866:127.0.0.1:8866 host, with --port 8866.
    """
    from tarslab.dashboards.operator.serving import serve

    def ready(address: str) -> None:
        console = Console()
        console.print(f"The operator dashboard: {escape(address)}", soft_wrap=True, highlight=False)
        console.print("Ctrl-C ends it.")

    with errors_as_messages():
        serve(url, profile, port, ready)
