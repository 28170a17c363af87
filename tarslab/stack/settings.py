"""What a service is told when it starts: from environment variables ``TARSLAB_STACK_<NAME>``."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from tarslab.errors import BadArgument

PREFIX = "TARSLAB_STACK_"
MAX_ACCESS_SECONDS = 900


class Settings(BaseModel):
    """Settings of one service; times in seconds.

    A grace shorter than the longest token life, the skew and the cache life of the JWKS together
    would cut off tokens that are good: such settings are refused with the figure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    redis_url: SecretStr
    """``redis://`` or ``rediss://``, with its password."""
    secret: SecretStr
    """Shared by the services: the audit chain and the sealed snapshots."""
    signing_secret: SecretStr | None = None
    """Orchestration's alone: seals private keys, signs checkpoints, makes refresh tokens."""
    admin_password: SecretStr | None = None
    """Of the user ``admin``, who is created where there is no user yet."""
    data: Path
    """Folder for the service's snapshot, audit queue, checkpoints and studies."""
    recordings: tuple[Path, ...] = ()
    """More storages of studies that automl shows, beside the bundled ones."""

    host: str = "127.0.0.1"
    port: int = 8000
    fd: int | None = None
    """A listening socket that is inherited, instead of host and port."""
    tether: bool = False
    """End where standard input ends."""
    clock: Path | None = None
    """A file that says how far the clock is ahead."""
    automl_url: str | None = None
    hypersync_url: str | None = None

    issuer: str = "tars"
    audience: str = "tars"
    access_seconds: int = Field(default=240, ge=1, le=MAX_ACCESS_SECONDS)
    """Life of an access token."""
    refresh_seconds: int = Field(default=7 * 86_400, ge=60)
    """Life of a session: its refresh tokens end with it."""
    skew_seconds: int = Field(default=30, ge=0, le=300)
    """By which the clocks of issuer and verifier may differ."""
    jwks_cache_seconds: int = Field(default=30, ge=0)
    """How long a verifier may keep the JWKS."""
    grace_seconds: int = 300
    """How long a key goes on verifying after a rotation."""
    stale_login_seconds: int = Field(default=900, ge=0)
    """In legacy mode: how long after Redis was last seen logins are still signed."""

    requests_per_second: int = Field(default=1000, ge=1)
    """Of one user, API key or address."""
    login_failures_per_user: int = Field(default=5, ge=1)
    """Failed logins at once; one more is allowed every ``login_refill_seconds``."""
    login_failures_per_address: int = Field(default=50, ge=1)
    login_refill_seconds: float = Field(default=30.0, gt=0)
    max_body_bytes: int = Field(default=64 * 1024, ge=1024)

    argon2_memory_kib: int = Field(default=19_456, ge=8)
    argon2_iterations: int = Field(default=2, ge=1)
    """OWASP's minimum (19 MiB, 2 passes, 1 lane), some 20 ms: logins under load stay quick."""

    redis_timeout: float = Field(default=0.5, gt=0)
    """Of connecting and of each answer."""
    redis_probe_seconds: float = Field(default=0.5, gt=0)
    """In legacy mode: how often Redis is tried."""
    checkpoint_records: int = Field(default=100, ge=1)
    checkpoint_seconds: float = Field(default=1.0, gt=0)
    """A checkpoint is signed after so many audit records, or so long after the last one."""

    @model_validator(mode="after")
    def _grace_covers_tokens(self) -> Self:
        if self.grace_seconds < self.minimum_grace:
            raise ValueError(too_short(self.grace_seconds, self))
        return self

    @property
    def minimum_grace(self) -> int:
        """Seconds: longest token life + skew + cache life of the JWKS."""
        return self.access_seconds + self.skew_seconds + self.jwks_cache_seconds

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The settings in ``TARSLAB_STACK_*``; BadArgument names the variables that are wrong."""
        found: dict[str, Any] = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in environment.items()
            if name.startswith(PREFIX)
        }
        if "recordings" in found:
            found["recordings"] = [part for part in found["recordings"].split(os.pathsep) if part]
        try:
            return cls(**found)
        except ValidationError as error:
            wrong = "; ".join(_in_words(part) for part in error.errors())
            raise BadArgument(f"settings of the stack: {wrong}") from None


def too_short(grace: float, settings: Settings) -> str:
    """Why a grace is refused, with the figure."""
    return (
        f"a grace of {grace:g} s would cut off good tokens: it must be at least "
        f"{settings.minimum_grace} s (token life {settings.access_seconds} + "
        f"skew {settings.skew_seconds} + JWKS cache {settings.jwks_cache_seconds})"
    )


def _in_words(part: Any) -> str:
    names = [PREFIX + str(name).upper() for name in part["loc"][:1]]
    return ": ".join([*names, part["msg"].removeprefix("Value error, ")])
