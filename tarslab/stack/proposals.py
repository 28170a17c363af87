"""A trial's hyperparameters, proposed to an agent: hypersync keeps it, a reload applies it."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel

PROPOSALS = "proposals"


class ProposalState(StrEnum):
    """Where a proposal is in its life."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    APPLIED = "applied"
    SUPERSEDED = "superseded"
    """Another one was approved for the agent before this one was applied."""


class Proposal(BaseModel):
    """A trial's hyperparameters, proposed to an agent."""

    id: str
    agent: str
    study: str
    trial: int
    params: dict[str, Any]
    values: list[float] | None
    note: str | None
    state: ProposalState
    proposed_by: str
    proposed_at: float
    decided_by: str | None = None
    decided_at: float | None = None
    reason: str | None = None
    applied_at: float | None = None
