"""The start of a stack: its secrets, its ports, and the process that supervises it."""

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tarslab.errors import BadArgument
from tarslab.stack import valkey
from tarslab.stack.places import Place
from tarslab.stack.settings import PREFIX, Settings
from tarslab.stack.supervisor import HOST, Plan, Program

SERVICES = ("orchestration", "automl", "hypersync")
PROXY = "proxy"
# The services' settings that are the stack's own to say.
OWN = frozenset(
    {"redis_url", "secret", "signing_secret", "admin_password", "data", "clock", "tether"}
    | {"automl_url", "hypersync_url", "host", "port", "fd"}
)
# Seconds that a Redis server of the user's may take to answer.
REDIS_ANSWER = 5.0


class Launched(NamedTuple):
    """A stack that comes up."""

    supervisor: "subprocess.Popen[bytes]"
    control: Path
    urls: dict[str, str]


def launch(
    place: Place,
    redis: str | None,
    admin_password: str | None,
    settings: Mapping[str, object],
    *,
    proxied: bool,
    temporary: bool,
    detached: bool,
) -> Launched:
    """Start a supervising process for a stack in this place.

    proxied: a proxy stands before each of its processes. temporary: the folder goes with the
    stack. detached: it goes on without this process.

    Raises BadArgument where an argument cannot be used, StackFailed where a stack is up there.
    """
    if redis is not None:
        _check_redis(redis)
    inherited = _environment()
    chosen = chosen_by_user(settings)
    place.prepare()
    with ExitStack() as held:
        lock = place.lock()
        held.callback(os.close, lock)
        place.end()
        sockets = {name: held.enter_context(_bound()) for name in ("redis", *SERVICES)}
        ports = _ports(sockets)
        fronts = {name: held.enter_context(_bound()) for name in (*sockets, PROXY) if proxied}
        # Where each is reached.
        reached = ports | _ports(fronts)
        urls = {name: f"http://{HOST}:{reached[name]}" for name in SERVICES}
        known = _secrets(place, redis, reached["redis"], admin_password)
        environments = {
            name: _of_service(name, place, urls, known, admin_password) | chosen
            for name in SERVICES
        }
        for environment in environments.values():
            Settings.from_environment(inherited | environment)
        services = [_service(name, urls, ports, environments) for name in SERVICES]
        first: list[Program] = []
        if redis is None:
            server = valkey.program(place, ports["redis"], known["redis_password"])
            first.append(replace(server, url=f"redis://{HOST}:{reached['redis']}/0"))
        if proxied:
            before = {one.name: (reached[one.name], one.port) for one in (*first, *services)}
            first.append(_proxy(place, reached[PROXY], before))
        stages = [first, services] if first else [services]
        control = place.control()
        parent = None if detached else os.getpid()
        plan = Plan(str(place.folder), str(control), stages, parent, temporary)
        kept_open = [lock]
        # A port that is bound but not listened at is nobody else's, and Linux lets it be bound
        # again, also by the embedded server: so it is the stack's for as long as it is up, and
        # connections are refused while a process is down. Others do not allow that.
        if sys.platform == "linux":
            kept_open += [bound.fileno() for bound in (*sockets.values(), *fronts.values())]
        else:
            for bound in (*sockets.values(), *fronts.values()):
                bound.close()
        supervisor = _started(place, plan, inherited, kept_open)
    if detached and supervisor.stdin is not None:
        supervisor.stdin.close()
    return Launched(supervisor, control, urls)


def new_secrets() -> dict[str, str]:
    """What the services of a new stack share, and the password of its first user."""
    lengths = {"secret": 32, "signing_secret": 32, "redis_password": 24, "admin_password": 15}
    return {name: secrets.token_urlsafe(length) for name, length in lengths.items()}


def secrets_of(service: str) -> tuple[str, ...]:
    """The settings of a service that are secrets."""
    shared = ("redis_url", "secret")
    return (*shared, "signing_secret", "admin_password") if service == "orchestration" else shared


def told(urls: Mapping[str, str], data: str) -> dict[str, str]:
    """The settings that each service is told: where it keeps its data, and where the others are."""
    return {"data": data, "automl_url": urls["automl"], "hypersync_url": urls["hypersync"]}


def chosen_by_user(settings: Mapping[str, object]) -> dict[str, str]:
    """A user's settings as variables; BadArgument where one is the stack's own to say."""
    for name in settings:
        if name in OWN:
            raise BadArgument(f"settings: {name} is the stack's own to say")
    return as_variables(settings)


def as_variables(settings: Mapping[str, object]) -> dict[str, str]:
    """Settings as the environment of a service."""

    def text(value: object) -> str:
        if isinstance(value, (list, tuple)):
            return os.pathsep.join(map(str, value))
        return str(value)

    return {PREFIX + name.upper(): text(value) for name, value in settings.items()}


def _started(
    place: Place, plan: Plan, environment: dict[str, str], kept_open: list[int]
) -> "subprocess.Popen[bytes]":
    with place.log("supervisor").open("ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-P", "-m", "tarslab.stack.supervisor"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            pass_fds=kept_open,
            # What a terminal sends at Ctrl-C is for this process.
            start_new_session=True,
        )
    assert supervisor.stdin is not None
    # Where it has ended already, its log says why.
    with suppress(BrokenPipeError):
        supervisor.stdin.write(plan.dumps().encode())
        supervisor.stdin.flush()
    return supervisor


def _secrets(
    place: Place, redis: str | None, port: int, admin_password: str | None
) -> dict[str, str]:
    """Those of the folder, made where there are none yet, and kept."""
    kept = place.secrets()
    own = kept.get("admin_password")
    if admin_password is not None and own not in (None, admin_password):
        raise BadArgument(
            f"admin_password: the stack in {place.folder} has made one already, and keeps it in "
            "secrets.json: leave yours out, or begin anew with another folder"
        )
    made = new_secrets()
    if admin_password is not None or kept:
        del made["admin_password"]
    known = made | kept
    password = known["redis_password"]
    known["redis_url"] = redis or f"redis://:{password}@{HOST}:{port}/0"
    place.keep("secrets.json", json.dumps(known, indent=1), durable=True)
    return known


def _of_service(
    name: str,
    place: Place,
    urls: Mapping[str, str],
    known: Mapping[str, str],
    admin_password: str | None,
) -> dict[str, str]:
    data = place.folder / name
    data.mkdir(exist_ok=True)
    if admin_password is not None:
        known = {**known, "admin_password": admin_password}
    return as_variables(
        told(urls, str(data))
        | {name: known[name] for name in secrets_of(name) if name in known}
        | {"clock": str(place.clock), "tether": "1"}
    )


def _service(
    name: str,
    urls: Mapping[str, str],
    ports: Mapping[str, int],
    environments: Mapping[str, dict[str, str]],
) -> Program:
    return Program(
        name,
        # Without the folder that it happens to be started in on its path.
        [sys.executable, "-P", "-m", "tarslab.stack.service", name],
        urls[name],
        ports[name],
        ask=f"GET /health/ready HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n",
        answer="HTTP/1.1 200 ",
        env=environments[name],
    )


def _environment() -> dict[str, str]:
    """This process's, without passwords and without what is the stack's own to say."""
    own = {PREFIX + name.upper() for name in OWN}
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TARSLAB_") or (name.startswith(PREFIX) and name not in own)
    }


def _proxy(place: Place, port: int, before: Mapping[str, tuple[int, int]]) -> Program:
    """The proxy: it listens at the first port of each process, and passes on to the second."""
    proxies = [
        {"name": name, "listen": f"{HOST}:{front}", "upstream": f"{HOST}:{behind}"}
        for name, (front, behind) in before.items()
    ]
    place.keep("proxy.json", json.dumps(proxies, indent=1))
    config = str(place.folder / "proxy.json")
    return Program(
        PROXY,
        [
            *(sys.executable, "-P", "-m", "tarslab.chaos.proxy"),
            *("--port", str(port), "--config", config),
        ],
        f"http://{HOST}:{port}",
        port,
        ask=f"GET /version HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n",
        answer=" 200 ",
        listens=False,
    )


def _ports(sockets: Mapping[str, socket.socket]) -> dict[str, int]:
    return {name: bound.getsockname()[1] for name, bound in sockets.items()}


def _bound() -> socket.socket:
    """A socket at a free port of loopback."""
    bound = socket.socket()
    # For the process that listens at the same port.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, 0))
    return bound


def _check_redis(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise BadArgument("redis: must be a URL such as redis://host:6379/0 or rediss://...")
    from redis import Redis, RedisError
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        with Redis.from_url(
            url,
            socket_timeout=REDIS_ANSWER,
            socket_connect_timeout=REDIS_ANSWER,
            retry=Retry(NoBackoff(), 0),
        ) as client:
            client.ping()
    except RedisError as error:
        raise BadArgument(
            f"redis: the server at {parts.hostname} does not serve: {error}"
        ) from None
    # Options after a question mark, a port or a number of a database that it does not know.
    except (TypeError, ValueError):
        raise BadArgument("redis: the URL cannot be read; redis://host:6379/0 is one") from None
