"""The users of the stack."""

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from tarslab.stack.orchestration.auth import SESSIONS, Session, revoke
from tarslab.stack.orchestration.core import HereCore
from tarslab.stack.security.api_keys import KeyRecord
from tarslab.stack.security.scopes import Role, Scope
from tarslab.stack.snapshot import KEYS, USERS, User
from tarslab.stack.store import Transaction
from tarslab.stack.web.access import allowed
from tarslab.stack.web.bodies import Body, IdempotencyKey, once
from tarslab.stack.web.context import Caller
from tarslab.stack.web.paging import Cursor, Limit, Page, page
from tarslab.stack.web.problems import Problem, not_found, responses

router = APIRouter(prefix="/users", tags=["users"])

NAME = r"^[a-z][a-z0-9._-]{0,63}$"
Reader = Annotated[Caller, allowed(Scope.USERS_READ)]
Writer = Annotated[Caller, allowed(Scope.USERS_WRITE)]
Username = Annotated[str, Path(pattern=NAME)]


class UserShown(BaseModel):
    """A user."""

    username: str
    role: Role
    disabled: bool
    created_at: float


class NewUser(Body):
    """A user to be."""

    username: Annotated[str, Field(pattern=NAME)]
    password: Annotated[str, Field(min_length=12, max_length=256)]
    role: Annotated[Role, Field(strict=False)]


@router.get("")
async def users(
    here: HereCore, caller: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Page[UserShown]:
    """All users, by name."""
    found = [(user.username, _shown(user)) for user in here.snapshot.users.values()]
    return page(found, limit, cursor)


@router.post("", status_code=201, responses=responses(409))
async def create(
    body: NewUser, here: HereCore, caller: Writer, idempotency_key: IdempotencyKey = None
) -> UserShown:
    """Add a user."""
    hashed = await here.passwords.hash(body.password)

    async def write(transaction: Transaction) -> UserShown:
        if await transaction.hget(USERS, body.username) is not None:
            raise Problem(409, f"there is a user {body.username}")
        now = here.now
        user = User(username=body.username, role=body.role, password=hashed, created_at=now)
        transaction.write("HSET", USERS, user.username, user.model_dump_json())
        transaction.changed(USERS)
        target = f"users/{user.username}"
        transaction.audit(caller.event(now, "users.create", target, role=user.role.value))
        return _shown(user)

    return await once(here, caller, idempotency_key, body, UserShown, write)


@router.delete("/{username}", status_code=204, responses=responses(404, 409))
async def delete(username: Username, here: HereCore, caller: Writer) -> Response:
    """Remove a user, end all their sessions, and revoke all their API keys."""

    async def write(transaction: Transaction) -> None:
        kept = {
            name: User.model_validate_json(text)
            for name, text in (await transaction.hgetall(USERS)).items()
        }
        if username not in kept:
            raise not_found(f"user {username}")
        admins = [name for name, user in kept.items() if user.role is Role.ADMIN]
        if admins == [username]:
            raise Problem(409, f"{username} is the last admin")
        for sid, text in (await transaction.hgetall(SESSIONS)).items():
            if Session.model_validate_json(text).user == username:
                revoke(here, transaction, sid)
        for key_id, text in (await transaction.hgetall(KEYS)).items():
            record = KeyRecord.model_validate_json(text)
            if record.owner == username and record.revoked_at is None:
                revoked = record.model_copy(update={"revoked_at": here.now})
                transaction.write("HSET", KEYS, key_id, revoked.model_dump_json())
                transaction.changed(KEYS)
        transaction.write("HDEL", USERS, username)
        transaction.changed(USERS)
        transaction.audit(caller.event(here.now, "users.delete", f"users/{username}"))

    await here.store.transact(write)
    await here.snapshots.refresh(here.store, here.now)
    return Response(status_code=204)


def _shown(user: User) -> UserShown:
    return UserShown.model_validate(user, from_attributes=True)
