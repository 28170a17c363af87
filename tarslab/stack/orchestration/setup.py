"""Orchestration's first start, and its return after Redis was out."""

import logging

from tarslab.errors import BadArgument
from tarslab.stack.audit.chain import Event
from tarslab.stack.orchestration.auth import SESSIONS
from tarslab.stack.orchestration.core import Core
from tarslab.stack.security.scopes import Role
from tarslab.stack.security.signing_keys import Ring
from tarslab.stack.snapshot import RING, USERS, User
from tarslab.stack.store import Transaction
from tarslab.stack.web.app import recover_audit

log = logging.getLogger(__name__)

ADMIN = "admin"


async def recover(core: Core) -> None:
    """Make sure that there is a ring and an admin, then replay what waited.

    A Redis that comes back empty, or without its last writes, is given what the snapshot has of
    them: else what was revoked would be good again.
    """
    lost = await core.store.transact(lambda transaction: _restore(core, transaction))
    if lost:
        log.warning("Redis came back without its last writes: %s restored", ", ".join(lost))
    if not await core.store.call(lambda redis: redis.exists(RING)):
        await _begin(core)
    await core.snapshots.refresh(core.store, core.now)
    await recover_audit(core)


async def _restore(core: Core, transaction: Transaction) -> list[str]:
    lost = await core.snapshots.restore(transaction)
    if lost:
        # Their ends may be lost, too, and with them that their refresh tokens are no good.
        for session in core.snapshot.revoked:
            transaction.write("HDEL", SESSIONS, session)
        detail = {"parts": lost}
        transaction.audit(
            Event(core.now, core.service, "store.restored", "redis", "ok", detail=detail)
        )
    return lost


async def _begin(core: Core) -> None:
    password = core.settings.admin_password
    if password is None:
        raise BadArgument("a new stack needs TARSLAB_STACK_ADMIN_PASSWORD for its first user")
    hashed = await core.passwords.hash(password.get_secret_value())

    async def write(transaction: Transaction) -> None:
        if await transaction.get(RING) is not None:
            return
        now = core.now
        admin = User(username=ADMIN, role=Role.ADMIN, password=hashed, created_at=now)
        transaction.write("SET", RING, Ring.new(core.seal, now).model_dump_json())
        transaction.write("HSET", USERS, ADMIN, admin.model_dump_json())
        transaction.changed(RING)
        transaction.changed(USERS)
        transaction.audit(Event(now, core.service, "stack.begin", "redis", "ok"))

    await core.store.transact(write)
