"""``tarslab stack``: a stack that outlives the program that brought it up, here or in a cluster."""

import os
import shlex
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TextIO

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tarslab.errors import BadArgument
from tarslab.messages import errors_as_messages

if TYPE_CHECKING:
    from tarslab.stack.kubernetes import Deployment
    from tarslab.stack.stack import Stack

PASSWORD = "TARSLAB_ADMIN_PASSWORD"
# Exit codes.
NOT_READY, NO_STACK, INTERRUPTED = 1, 3, 130
# Seconds between two looks at a log, or at whether a stack is up.
LOOK = 0.2

app = typer.Typer(
    help="""Bring up the T.A.R.S. services on this machine, and look after them.

    For example: tarslab stack up, then tarslab stack status, and tarslab stack down at the end.
    """,
    no_args_is_help=True,
)

Name = Annotated[str, typer.Option("--name", help="Of the stack; each has data of its own.")]
Context = Annotated[str, typer.Option(help="Of the kubeconfig.")]
Namespace = Annotated[str, typer.Option(help="For the stack alone; made where it is not there.")]
Kubeconfig = Annotated[
    Path | None, typer.Option(help="The file; else that of KUBECONFIG, or ~/.kube/config.")
]


@app.command()
def up(
    name: Name = "default",
    redis: Annotated[
        str | None,
        typer.Option(
            help="redis:// or rediss:// URL of a server to use instead of the embedded one. "
            "Other users of this machine see what stands on a command line, so give a password "
            "by the variable.",
            envvar="TARSLAB_STACK_REDIS_URL",
        ),
    ] = None,
    proxied: Annotated[
        bool,
        typer.Option(
            "--proxied", help="With a proxy before each process, to slow it down or cut it off."
        ),
    ] = False,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, and take it down at Ctrl-C or SIGTERM.")
    ] = False,
) -> None:
    """Bring up the services and a Redis server, on free ports of loopback.

    It stays up until tarslab stack down, and comes up again with its data. What the services are
    told otherwise is set by variables such as TARSLAB_STACK_ACCESS_SECONDS=60.

    The user is admin, with the password in TARSLAB_ADMIN_PASSWORD; where that is not set, one is
    made and shown when the stack is first up. Exit code 2 if it does not get ready, with the end of
    the log that says why.
    """
    from tarslab.stack.places import Place
    from tarslab.stack.stack import bring_up

    console = Console()
    password = os.environ.get(PASSWORD)
    with errors_as_messages():
        place = Place.named(name)
        first = not place.secrets()
        if not foreground:
            stack = bring_up(place, redis, password, proxied=proxied, detached=True)
            _say_what_is_up(console, stack, made_now=first)
            return
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with (
            suppress(KeyboardInterrupt),
            bring_up(place, redis, password, proxied=proxied) as stack,
        ):
            _say_what_is_up(console, stack, made_now=first)
            while place.supervisor() is not None:
                time.sleep(LOOK)
            console.print("the stack was taken down by somebody else")
            raise typer.Exit(NOT_READY)
        console.print("down")


@app.command()
def status(
    name: Name = "default",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say how each process is. Exit code 1 if one is not ready, 3 if there is no such stack."""
    with errors_as_messages():
        stack = _attached(name)
        processes = stack.status()
    ready = all(process.state == "ready" for process in processes)
    if as_json:
        import json
        from dataclasses import asdict

        known = {"name": name, "url": stack.url, "folder": str(stack.folder), "ready": ready}
        typer.echo(json.dumps(known | {"processes": [asdict(p) for p in processes]}, indent=1))
    else:
        table = Table("process", "state", "for", "restarts", "pid", "url", box=None)
        for process in processes:
            colour = "green" if process.state == "ready" else "red"
            table.add_row(
                process.name,
                f"[{colour}]{process.state}[/]",
                _duration(time.time() - process.since),
                str(process.restarts),
                str(process.pid or ""),
                process.url,
            )
        Console().print(table)
    if not ready:
        raise typer.Exit(NOT_READY)


@app.command()
def env(
    name: Name = "default",
    context: Annotated[
        str | None, typer.Option(help="Of the kubeconfig: for a stack of tarslab stack deploy.")
    ] = None,
    namespace: Annotated[str | None, typer.Option(help="That it was deployed to.")] = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Print the variables by which the other commands find a stack and sign in to it.

    For a shell, and not for a screen, since the admin's password is among them:

    eval "$(tarslab stack env)"
    """
    with errors_as_messages():
        if sys.stdout.isatty():
            raise BadArgument(
                "this would show the admin's password; let the shell take it: "
                'eval "$(tarslab stack env)"'
            )
        if context is None:
            stack = _attached(name)
            url, password = stack.url, stack.admin_password
        else:
            deployed = _deployed(context, namespace, kubeconfig)
            url, password = deployed.url, deployed.admin_password.reveal()
    known = {"URL": url, "USERNAME": "admin", "PASSWORD": password}
    for variable, value in known.items():
        typer.echo(f"export TARSLAB_{variable}={shlex.quote(value)}")


@app.command()
def logs(
    service: Annotated[
        str | None,
        typer.Argument(help="redis, orchestration, automl, hypersync or supervisor; else all."),
    ] = None,
    name: Name = "default",
    lines: Annotated[int, typer.Option("-n", "--lines", help="The last of each.", min=0)] = 50,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with what is added, until Ctrl-C.")
    ] = False,
) -> None:
    """Show what the processes said, also of a stack that is down."""
    from tarslab.stack.places import Place

    with errors_as_messages(), ExitStack() as held:
        paths = Place.named(name).logs()
        if not paths:
            _no_stack(f"no stack {name!r} has been up")
        if service is not None:
            if service not in paths:
                raise BadArgument(f"service must be one of {', '.join(paths)}, not {service!r}")
            paths = {service: paths[service]}
        files = {of: held.enter_context(path.open(errors="replace")) for of, path in paths.items()}
        for of, file in files.items():
            for line in deque(file, lines):
                _show(line, of, files)
        with suppress(KeyboardInterrupt):
            while follow:
                for of, file in files.items():
                    for line in file:
                        _show(line, of, files)
                time.sleep(LOOK)


@app.command()
def down(name: Name = "default") -> None:
    """End every process of a stack; its data stays, for the next up."""
    from tarslab.stack.places import Place

    with errors_as_messages():
        place = Place.named(name)
        was_up = place.state() is not None
        place.end()
    typer.echo("down" if was_up else f"no stack {name!r} is up")


@app.command()
def deploy(
    context: Context,
    namespace: Namespace,
    image: Annotated[str, typer.Option(help="Of the services: docs/kubernetes.md makes one.")],
    kubeconfig: Kubeconfig = None,
    replicas: Annotated[int, typer.Option(help="Pods of each service; Redis has one.", min=1)] = 2,
    proxied: Annotated[
        bool,
        typer.Option("--proxied", help="With a proxy in each pod, to slow it down or cut it off."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the manifests instead; nothing is touched.")
    ] = False,
) -> None:
    """Deploy the stack to a namespace of Kubernetes, or bring the one there up to date.

    Says what its pods wait for, until all are ready. The secrets are made once and stay in the
    cluster. Exit code 2 if it does not get ready, with the reason; 130 if it was stopped: what was
    applied stays, and the same command goes on.
    """
    from tarslab.stack.kubernetes import deploying
    from tarslab.stack.kubernetes.manifests import SECRET

    def say(line: str) -> None:
        typer.echo(line, err=True)

    if dry_run:
        import yaml

        with errors_as_messages():
            found = deploying.planned(
                context,
                namespace,
                image,
                kubeconfig=kubeconfig,
                replicas=replicas,
                proxied=proxied,
                on_progress=say,
            )
        typer.echo(f"# And a Secret {SECRET}, which deploy makes: {deploying.HELD}.")
        typer.echo(yaml.safe_dump_all(found, sort_keys=False), nl=False)
        return
    with errors_as_messages(), _stopped(f"what was applied to {namespace} stays", namespace):
        done = deploying.deploy(
            context,
            namespace,
            image,
            kubeconfig=kubeconfig,
            replicas=replicas,
            proxied=proxied,
            on_progress=say,
        )
    table = Table.grid(padding=(0, 2))
    for service, url in done.urls.items():
        table.add_row(service, url)
    table.add_row("user", "admin")
    where = f"--context {shlex.quote(context)} -n {namespace}"
    path = f"-o jsonpath='{{.data.admin_password}}' {where} | base64 -d"
    table.add_row("password", escape(f"kubectl get secret {SECRET} {path}"))
    Console().print(table, soft_wrap=True, highlight=False)


@app.command()
def undeploy(
    context: Context,
    namespace: Annotated[str, typer.Option(help="That the stack was deployed to.")],
    kubeconfig: Kubeconfig = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove the stack from a namespace of Kubernetes, its data and secrets too.

    Only what deploy and faults made there; the namespace stays. Exit code 130 if it was stopped:
    the same command goes on.
    """
    from tarslab.stack.kubernetes import deploying

    if not yes:
        what = f"Remove the stack in {namespace} of {context}, with all that it holds?"
        typer.confirm(what, abort=True)
    with errors_as_messages(), _stopped(f"part of what is in {namespace} is removed", namespace):
        removed = deploying.undeploy(
            context,
            namespace,
            kubeconfig=kubeconfig,
            on_progress=lambda line: typer.echo(line, err=True),
        )
    typer.echo("removed" if removed else f"nothing of a stack is in {namespace}")


@app.command()
def cleanup(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    url: Annotated[
        str | None, typer.Option(help="Of the deployment; else TARSLAB_URL or the profile.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Of ~/.config/tarslab/profiles.toml.")] = None,
) -> None:
    """Remove expired keys, tokens and sessions, of this or any other deployment.

    Who asks is said by TARSLAB_USERNAME and TARSLAB_PASSWORD, by TARSLAB_API_KEY, or by a profile.
    Exit code 1 if the services are not healthy afterwards.
    """
    from msgspec import structs

    from tarslab.admin import AdminClient

    with errors_as_messages(), AdminClient(url, profile=profile) as admin:
        done = admin.maintenance.cleanup(dry_run=dry_run)
    table = Table("", "would be removed" if done.dry_run else "removed", box=None)
    # Its fields are what the API calls them.
    for what, count in structs.asdict(done.removed).items():
        table.add_row(what.replace("_", " "), str(count))
    Console().print(table)
    if not done.healthy_after:
        raise typer.Exit(NOT_READY)


@contextmanager
def _stopped(what: str, namespace: str) -> Iterator[None]:
    """Say how things stand after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(
            f"stopped: {what}; the same command goes on, and tarslab stack undeploy --namespace "
            f"{namespace} removes all of it",
            err=True,
        )
        raise typer.Exit(INTERRUPTED) from None


def _attached(name: str) -> "Stack":
    from tarslab.stack.places import Place
    from tarslab.stack.stack import Stack

    stack = Stack.attached(Place.named(name))
    if stack is None:
        _no_stack(f"no stack {name!r} is up; tarslab stack up --name {name} brings it up")
    return stack


def _deployed(context: str, namespace: str | None, kubeconfig: Path | None) -> "Deployment":
    from tarslab.stack.kubernetes import Deployment

    if namespace is None:
        raise BadArgument(f"--namespace: name that of the stack in {context}")
    return Deployment.of(context, namespace, kubeconfig=kubeconfig)


def _no_stack(why: str) -> NoReturn:
    typer.echo(why, err=True)
    raise typer.Exit(NO_STACK)


def _say_what_is_up(console: Console, stack: "Stack", *, made_now: bool) -> None:
    table = Table.grid(padding=(0, 2))
    for name, url in stack.urls.items():
        table.add_row(name, url)
    table.add_row("data", escape(str(stack.folder)))
    table.add_row("user", "admin")
    table.add_row("password", _password(stack, made_now and console.is_terminal))
    console.print(table, soft_wrap=True, highlight=False)


def _password(stack: "Stack", shown: bool) -> str:
    if os.environ.get(PASSWORD):
        return f"that of {PASSWORD}"
    if shown:
        return escape(stack.admin_password)
    # What a program's output goes to may be read by others.
    return "as when it was first up; tarslab stack env has it for the shell"


def _show(line: str, of: str, files: Mapping[str, TextIO]) -> None:
    typer.echo(f"{of}: {line}" if len(files) > 1 else line, nl=False)


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
