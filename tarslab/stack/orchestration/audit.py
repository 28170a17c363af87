"""Reading and proving the audit log."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from tarslab.stack.audit.log import prove, query
from tarslab.stack.orchestration.core import HereCore
from tarslab.stack.security.scopes import Scope
from tarslab.stack.web.access import allowed
from tarslab.stack.web.context import Caller
from tarslab.stack.web.paging import Cursor, Limit, Page, decoded, encoded
from tarslab.stack.web.problems import invalid

router = APIRouter(prefix="/audit", tags=["audit"])

Reader = Annotated[Caller, allowed(Scope.AUDIT_READ)]
Exactly = Annotated[str | None, Query(max_length=200)]
Time = Annotated[float | None, Query(allow_inf_nan=False, description="Unix seconds.")]


class Record(BaseModel):
    """Something that was done, or tried."""

    seq: int
    schema_version: Annotated[int, Field(alias="schema")] = 0
    time: float = 0.0
    actor: str = ""
    action: str = ""
    target: str = ""
    result: str = ""
    request_id: str = ""
    address: str = ""
    mode: str = ""
    queued: bool = False
    detail: dict[str, Any] = {}


class FirstBad(BaseModel):
    """The first record that is not as it was written."""

    seq: int
    reason: str


class Verified(BaseModel):
    """What came of proving the whole log."""

    valid: bool
    records: int
    """Good ones, up to the first that is not."""
    first_bad: FirstBad | None
    checkpoints: int
    head_seq: int
    public_key: str
    """Ed25519, of the checkpoints' signatures."""


@router.get("")
async def audit(
    here: HereCore,
    caller: Reader,
    actor: Exactly = None,
    action: Exactly = None,
    target: Exactly = None,
    result: Exactly = None,
    request_id: Exactly = None,
    since: Time = None,
    until: Time = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Record]:
    """Records, newest first. A page may be short where few match: go on while there is a cursor."""
    wanted = {
        name: value
        for name, value in (
            ("actor", actor),
            ("action", action),
            ("target", target),
            ("result", result),
            ("request_id", request_id),
        )
        if value is not None
    }

    def matches(record: Mapping[str, Any]) -> bool:
        time = record.get("time", 0.0)
        return (
            all(record.get(name) == value for name, value in wanted.items())
            and (since is None or time >= since)
            and (until is None or time <= until)
        )

    found, before = await query(here.store, matches, limit, _position(cursor))
    return Page(
        items=[Record.model_validate(record) for record in found],
        next_cursor=None if before is None else encoded(str(before)),
    )


@router.get("/verify")
async def verify(here: HereCore, caller: Reader) -> Verified:
    """Prove the log from its first record to its end; the first bad record, where there is one."""
    proof = await prove(here.store, here.chain, here.checkpoints)
    flaw = proof.first_bad
    return Verified(
        valid=flaw is None,
        records=proof.records,
        first_bad=None if flaw is None else FirstBad(seq=flaw.seq, reason=flaw.reason),
        checkpoints=proof.checkpoints,
        head_seq=proof.head_seq,
        public_key=here.checkpoints.public_key,
    )


def _position(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    position = decoded(cursor)
    if not position.isdecimal() or not position.isascii() or len(position) > 15:
        raise invalid("cursor", "not one that this list gave out")
    return int(position)
