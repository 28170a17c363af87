"""What the services say, as frozen values.

Times are Unix seconds, durations seconds. Members that a newer service adds are ignored; one that
is missing is an ``Unexpected`` error that names it. States and roles are text and no enumeration,
so that a newer service may have more of them.
"""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from tarslab.admin import tables
from tarslab.admin.secret import Secret

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


class Model(msgspec.Struct, frozen=True):
    """Base of the values; a notebook shows one as a table of its members."""

    def _row(self) -> dict[str, Any]:
        """The row that it makes in a table."""
        return {name: getattr(self, name) for name in self._columns()}

    @classmethod
    def _columns(cls) -> Sequence[str]:
        """The columns that a table has even without a row."""
        return cls.__struct_fields__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(_shortened(repr(value)))}</td></tr>"
            for name, value in msgspec.structs.asdict(self).items()
        )
        return f"<table>{rows}</table>"


class Page(Model, Generic[T], frozen=True):
    """Some items of a list, and where the next begin."""

    items: tuple[T, ...]
    next_cursor: str | None


class FieldError(Model, frozen=True):
    """What is wrong with one member of a request."""

    field: str
    message: str


class Problem(Model, frozen=True):
    """Why a service refused (RFC 9457)."""

    type: str = "about:blank"
    title: str = ""
    status: int | None = None
    detail: str = ""
    instance: str | None = None
    request_id: str | None = None
    errors: tuple[FieldError, ...] = ()


class Login(Model, frozen=True):
    """What a login or refresh gave."""

    access_token: Secret
    expires_in: float
    refresh_token: Secret | None
    """None in legacy mode: a session of then ends with its access token."""
    refresh_expires_in: float | None
    role: str
    scopes: tuple[str, ...]
    mode: str
    """``normal``, or ``legacy`` while the services' Redis is out."""

    def __post_init__(self) -> None:
        token = self.access_token.reveal()
        if not (token.isascii() and token.isprintable()):
            # As a header it would be refused with an error that quotes it.
            raise ValueError("access_token is no token")


class Me(Model, frozen=True):
    """Whose the credentials are, and what they may do."""

    name: str
    kind: str
    """``user`` or ``api_key``."""
    role: str | None
    scopes: tuple[str, ...]
    expires_at: float | None
    session: str | None


class User(Model, frozen=True):
    """Somebody who can log in."""

    username: str
    role: str
    """``viewer``, ``operator`` or ``admin``."""
    disabled: bool
    created_at: float


class Curve(Model, frozen=True):
    """A metric over the steps of a training; None where it was no finite number."""

    step: tuple[int, ...]
    value: tuple[float | None, ...]

    def __post_init__(self) -> None:
        if len(self.step) != len(self.value):
            raise ValueError(f"{len(self.step)} steps have {len(self.value)} values")


class AgentVersion(Model, frozen=True):
    """A trained version of an agent."""

    version: int
    run: str
    points: int
    final_reward: float | None
    promoted_at: float | None
    promoted_by: str | None


class Promotion(Model, frozen=True):
    """A change of the version that an agent runs."""

    version: int
    previous: int | None
    by: str
    at: float
    rollback: bool


class Agent(Model, frozen=True):
    """An agent, with the curve of its promoted version."""

    id: str
    algorithm: str
    environment: str
    state: str
    """``ready`` or ``failed``."""
    version: int
    hyperparameters: dict[str, Any]
    loaded_at: float
    reward: Curve
    """At most 60 points."""
    final_reward: float | None
    versions: tuple[AgentVersion, ...]
    promotions: tuple[Promotion, ...]
    """The newest last."""

    def _row(self) -> dict[str, Any]:
        tuned = {f"hp.{name}": value for name, value in self.hyperparameters.items()}
        return super()._row() | tuned

    @classmethod
    def _columns(cls) -> Sequence[str]:
        return ("id", "algorithm", "environment", "state", "version", "final_reward", "loaded_at")


class ReloadedAgent(Agent, frozen=True):
    """An agent after it was loaded anew."""

    applied: tuple[str, ...]
    """The proposals that took effect."""


class AgentMetrics(Model, frozen=True):
    """Curves of an agent's version."""

    agent: str
    version: int
    available: tuple[str, ...]
    """The metrics that the version has."""
    metrics: dict[str, Curve]

    def to_frame(self) -> "pd.DataFrame":
        """The points as a tidy table: agent, version, metric, step, value (NaN for None)."""
        return tables.points(
            {"agent": self.agent, "version": self.version},
            {name: (curve.step, curve.value) for name, curve in self.metrics.items()},
        )


class ApiKey(Model, frozen=True):
    """An API key, without the key itself."""

    id: str
    name: str
    prefix: str
    """How the key begins, to know it by."""
    scopes: tuple[str, ...]
    owner: str
    created_at: float
    expires_at: float | None
    last_used_at: float | None
    state: str
    """``active``, ``rotating`` (the key before works too), ``expired`` or ``revoked``."""
    overlap_until: float | None


class NewApiKey(ApiKey, frozen=True):
    """An API key that was just made: the only time that the key itself is given."""

    key: Secret


class SigningKey(Model, frozen=True):
    """A key that access tokens are signed with."""

    kid: str
    state: str
    """``next``, ``active``, ``grace``, ``retired`` or ``invalidated``."""
    created_at: float
    activated_at: float | None
    grace_until: float | None
    invalidated_at: float | None
    live_tokens: int | None
    """That it signed and that have not expired; None where that is not known."""


class KeyRing(Model, frozen=True):
    """The signing keys, and the lifetimes that a grace period follows from."""

    mode: str
    algorithm: str
    access_seconds: float
    skew_seconds: float
    jwks_cache_seconds: float
    minimum_grace_seconds: float
    keys: tuple[SigningKey, ...]
    ring_version: int
    ring_age_seconds: float | None

    def to_frame(self) -> "pd.DataFrame":
        """One row a key."""
        return tables.of(SigningKey, self.keys)


class BrokenToken(Model, frozen=True):
    """A live token that a rotation would break."""

    id: str
    subject: str
    expires_at: float


class Rotation(Model, frozen=True):
    """What a rotation of the signing keys did; in a rehearsal, what it would do."""

    rehearsal: bool
    refused: str | None
    """Why it would be refused; None where it would not."""
    retiring: str | None
    active: str | None
    next: str | None
    grace_until: float | None
    live_tokens: int | None
    broken_tokens: tuple[BrokenToken, ...]

    def to_frame(self) -> "pd.DataFrame":
        """One row a token that it would break."""
        return tables.of(BrokenToken, self.broken_tokens)


class Invalidation(Model, frozen=True):
    """A signing key that was invalidated, and which signs now."""

    kid: str
    broken_tokens: int
    active: str


class KeySet(Model, frozen=True):
    """The public keys (RFC 7517)."""

    keys: tuple[dict[str, Any], ...]


class AuditEvent(Model, frozen=True):
    """Who did what to what, and what came of it."""

    seq: int
    schema: int
    time: float
    actor: str | None
    action: str
    target: str | None
    result: str
    """``ok``, ``denied``, ``failed`` or ``refused``."""
    request_id: str | None
    address: str | None
    mode: str
    queued: bool
    """Whether it waited on disk while Redis was out."""
    detail: dict[str, Any]


class BadRecord(Model, frozen=True):
    """The first record of an audit log that does not fit."""

    seq: int
    reason: str


class AuditVerification(Model, frozen=True):
    """Whether the audit log is whole and unchanged."""

    valid: bool
    records: int
    first_bad: BadRecord | None
    checkpoints: int
    head_seq: int
    public_key: str


class Objective(Model, frozen=True):
    """What a study optimises."""

    name: str
    direction: str
    """``minimize`` or ``maximize``."""


class BestTrial(Model, frozen=True):
    """The best trial of a study with one objective."""

    number: int
    values: tuple[float, ...]
    params: dict[str, Any]


class Study(Model, frozen=True):
    """A search for hyperparameters."""

    name: str
    objectives: tuple[Objective, ...]
    trials: int
    finished: int
    failed: int
    state: str
    """``recorded``, ``running``, ``finished``, ``stopped`` or ``failed``."""
    source: str
    best: BestTrial | None
    """None without a finished trial, and with several objectives."""
    started_by: str | None

    def _row(self) -> dict[str, Any]:
        aims = ", ".join(f"{aim.direction} {aim.name}" for aim in self.objectives)
        best = self.best.values[0] if self.best else None
        return super()._row() | {"objectives": aims, "best": best}


class Trial(Model, frozen=True):
    """One point that a study tried."""

    number: int
    state: str
    values: tuple[float | None, ...] | None
    params: dict[str, Any]
    duration: float | None
    started_at: float | None
    finished_at: float | None

    def _row(self) -> dict[str, Any]:
        """With the column names of Optuna's ``trials_dataframe``."""
        values = self.values or ()
        names = ["value"] if len(values) == 1 else [f"values_{n}" for n in range(len(values))]
        reached = dict(zip(names, values, strict=True))
        tried = {f"params_{name}": value for name, value in self.params.items()}
        return super()._row() | reached | tried

    @classmethod
    def _columns(cls) -> Sequence[str]:
        return ("number", "state", "duration", "started_at", "finished_at")


class TrialsOfStudy(Model, frozen=True):
    """The best trials of a study."""

    trials: tuple[Trial, ...]


class Proposal(Model, frozen=True):
    """A trial's hyperparameters, proposed to an agent."""

    id: str
    agent: str
    study: str
    trial: int
    params: dict[str, Any]
    values: tuple[float | None, ...] | None
    note: str | None
    state: str
    """``pending``, ``approved``, ``rejected``, ``applied`` or ``superseded``."""
    proposed_by: str
    proposed_at: float
    decided_by: str | None
    decided_at: float | None
    reason: str | None
    applied_at: float | None


class StoreHealth(Model, frozen=True):
    """Whether a service reaches its Redis."""

    up: bool
    seconds: float | None
    """How long it took to answer."""


class Readiness(Model, frozen=True):
    """Whether a service takes requests."""

    status: str
    """``ready``, or why not."""
    service: str
    mode: str
    store: StoreHealth
    snapshot_age: float | None
    """Seconds since the state that legacy mode would go on with was kept."""


class ServiceHealth(Model, frozen=True):
    """What one service says to another that asks after it."""

    ready: bool
    mode: str | None
    seconds: float | None
    detail: str | None


class Services(Model, frozen=True):
    """The services by name."""

    services: dict[str, ServiceHealth]

    def to_frame(self) -> "pd.DataFrame":
        """One row a service."""
        table = tables.of(ServiceHealth, self.services.values())
        table.insert(0, "service", list(self.services))
        return table


class Removed(Model, frozen=True):
    """How much a cleanup removed of each."""

    api_keys: int
    sessions: int
    tokens: int
    revocations: int
    signing_keys: int
    idempotency_keys: int


class Cleanup(Model, frozen=True):
    """What a cleanup removed; in a dry run, what it would remove."""

    dry_run: bool
    removed: Removed
    healthy_before: bool
    healthy_after: bool
    seconds: float


def _shortened(text: str, longest: int = 200) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
