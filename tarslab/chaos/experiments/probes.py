"""Probes for the steady state of experiments of Chaos Toolkit: what is so while nothing is broken.

What goes on beside a fault is measured all the time by ``tarslab.chaos.probes``.
"""

import time
from contextlib import suppress

import httpx

from tarslab.admin.errors import AdminError
from tarslab.chaos.experiments.session import Session, current
from tarslab.errors import BadArgument

# Seconds that a service may take to say how it is, and between two looks.
PATIENCE, LOOK = 5.0, 0.1


def ready(service: str | None = None, within: float = 10.0) -> bool:
    """Whether every unit of a service, or of all, is ready, soon at least."""
    session = current()
    names = session.platform.services if service is None else (_known(session, service),)
    deadline = time.monotonic() + within
    while not all(_is_ready(session, name) for name in names):
        if time.monotonic() > deadline:
            return False
        session.sleep(LOOK)
    return True


def mode(service: str = "orchestration", within: float = 10.0) -> str:
    """The mode that a service says it is in: ``normal``, soon at least, or ``legacy``."""
    session = current()
    url = session.platform.address(_known(session, service)).rstrip("/") + "/health/ready"
    said, deadline = "", time.monotonic() + within
    while True:
        with suppress(httpx.HTTPError):
            said = httpx.get(url, timeout=PATIENCE, trust_env=False).headers.get("X-Mode", "")
        if said == "normal" or time.monotonic() > deadline:
            return said
        session.sleep(LOOK)


def signed_in(within: float = 30.0) -> bool:
    """Whether somebody can log in, and is known then, soon at least."""
    session = current()
    deadline = time.monotonic() + within
    with session.admin(retries=0) as admin:
        while True:
            try:
                return bool(admin.me())
            except AdminError:
                if time.monotonic() > deadline:
                    return False
            session.sleep(LOOK)


def signing_keys() -> bool:
    """Whether one signing key is active, and another one is published to be the next."""
    with current().admin() as admin:
        states = [key.state for key in admin.jwt.status().keys]
    return states.count("active") == 1 and "next" in states


def audit_verified() -> bool:
    """Whether the audit log is whole and unchanged."""
    with current().admin() as admin:
        return admin.audit.verify().valid


def _known(session: Session, service: str) -> str:
    if service not in session.platform.services:
        known = ", ".join(session.platform.services)
        raise BadArgument(f"service must be one of {known}, not {service!r}")
    return service


def _is_ready(session: Session, service: str) -> bool:
    units = session.platform.units(service)
    return bool(units) and all(unit.state == "ready" for unit in units)
