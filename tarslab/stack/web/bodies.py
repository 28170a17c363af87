"""What request bodies have in common, and creates that may be sent twice."""

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from fastapi import Header
from pydantic import BaseModel, ConfigDict

from tarslab.stack.store import Transaction
from tarslab.stack.web.context import Caller, Context
from tarslab.stack.web.problems import Problem

T = TypeVar("T", bound=BaseModel)

IDEMPOTENCY = "idempotency"
KEPT_SECONDS = 86_400

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,128}$",
        description="The same key and body once more: the same answer, and nothing done twice.",
    ),
]


class Body(BaseModel):
    """A request body: members that it does not know are an error."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


async def once(
    context: Context,
    caller: Caller,
    key: str | None,
    body: Body,
    model: type[T],
    create: Callable[[Transaction], Awaitable[T]],
) -> T:
    """Create in a transaction; where the key was seen with the same body, what was created then.

    Kept for a day. What is kept holds no secret: ``create``'s answer must not either, and the body,
    which may hold a password, is known by its MAC.
    """
    if key is None:
        return await context.store.transact(create)
    field = _hash(f"{caller.name}\n{type(body).__name__}\n{key}")
    content = body.model_dump_json().encode()
    fingerprint = hmac.digest(context.idempotency_key, content, "sha256").hex()

    async def create_once(transaction: Transaction) -> T:
        kept = await transaction.hget(IDEMPOTENCY, field)
        if kept is not None:
            entry: dict[str, Any] = json.loads(kept)
            if context.now < entry["until"]:
                if entry["fingerprint"] != fingerprint:
                    raise Problem(422, "this Idempotency-Key was used with another body")
                return model.model_validate(entry["answer"])
        answer = await create(transaction)
        entry = {
            "fingerprint": fingerprint,
            "until": context.now + KEPT_SECONDS,
            "answer": answer.model_dump(mode="json"),
        }
        transaction.write("HSET", IDEMPOTENCY, field, json.dumps(entry))
        return answer

    return await context.store.transact(create_once)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
