"""What a service answers to each call, as the contract has it."""

from typing import Any

CURVE = {"step": [0, 10], "value": [1.5, None]}
AGENT: dict[str, Any] = {
    "id": "ppo",
    "algorithm": "PPO",
    "environment": "CartPole-v1",
    "state": "ready",
    "version": 2,
    "hyperparameters": {"learning_rate": 0.0003},
    "loaded_at": 1_700_000_000,
    "reward": CURVE,
    "final_reward": 475.5,
    "versions": [
        {
            "version": 2,
            "run": "ppo_1",
            "points": 500,
            "final_reward": 475.5,
            "promoted_at": 1_700_000_000.5,
            "promoted_by": "ada",
        }
    ],
    "promotions": [
        {"version": 2, "previous": 1, "by": "ada", "at": 1_700_000_000.5, "rollback": False}
    ],
}
METRICS = {"agent": "ppo", "version": 2, "available": ["reward"], "metrics": {"reward": CURVE}}
API_KEY: dict[str, Any] = {
    "id": "0" * 32,
    "name": "ci",
    "prefix": "tars_ab",
    "scopes": ["agents:read"],
    "owner": "ada",
    "created_at": 1_700_000_000.0,
    "expires_at": None,
    "last_used_at": None,
    "state": "active",
    "overlap_until": None,
}
NEW_API_KEY = API_KEY | {"key": "tars_abcdef-the-key"}
KEY_RING: dict[str, Any] = {
    "mode": "normal",
    "algorithm": "ES256",
    "access_seconds": 600,
    "skew_seconds": 30,
    "jwks_cache_seconds": 300,
    "minimum_grace_seconds": 930,
    "keys": [
        {
            "kid": "k1",
            "state": "active",
            "created_at": 1_700_000_000.0,
            "activated_at": 1_700_000_100.0,
            "grace_until": None,
            "invalidated_at": None,
            "live_tokens": 3,
        }
    ],
    "ring_version": 4,
    "ring_age_seconds": 0.5,
}
ROTATION = {
    "rehearsal": True,
    "refused": None,
    "retiring": "k1",
    "active": "k2",
    "next": None,
    "grace_until": 1_700_000_930.0,
    "live_tokens": 3,
    "broken_tokens": [{"id": "t1", "subject": "ada", "expires_at": 1_700_001_000.0}],
}
INVALIDATION = {"kid": "k1", "broken_tokens": 3, "active": "k2"}
KEY_SET = {"keys": [{"kty": "EC", "kid": "k1"}]}
EVENT: dict[str, Any] = {
    "seq": 7,
    "schema": 1,
    "time": 1_700_000_000.0,
    "actor": "ada",
    "action": "jwt.rotate",
    "target": "jwt/keys/k1",
    "result": "ok",
    "request_id": "r1",
    "address": "127.0.0.1",
    "mode": "normal",
    "queued": False,
    "detail": {"grace_seconds": 930},
}
VERIFICATION = {
    "valid": False,
    "records": 6,
    "first_bad": {"seq": 7, "reason": "changed"},
    "checkpoints": 1,
    "head_seq": 9,
    "public_key": "MFkw",
}
STUDY: dict[str, Any] = {
    "name": "cartpole-dqn",
    "objectives": [{"name": "reward", "direction": "maximize"}],
    "trials": 20,
    "finished": 19,
    "failed": 1,
    "state": "finished",
    "source": "recorded",
    "best": {"number": 4, "values": [431.5], "params": {"lr": 0.001}},
    "started_by": None,
}
TRIAL: dict[str, Any] = {
    "number": 4,
    "state": "COMPLETE",
    "values": [431.5],
    "params": {"lr": 0.001},
    "duration": 2.5,
    "started_at": 1_700_000_000.0,
    "finished_at": 1_700_000_002.5,
}
PROPOSAL: dict[str, Any] = {
    "id": "p1",
    "agent": "dqn",
    "study": "cartpole-dqn",
    "trial": 4,
    "params": {"lr": 0.001},
    "values": [431.5],
    "note": None,
    "state": "pending",
    "proposed_by": "ada",
    "proposed_at": 1_700_000_000.0,
    "decided_by": None,
    "decided_at": None,
    "reason": None,
    "applied_at": None,
}
USER = {"username": "eve", "role": "viewer", "disabled": False, "created_at": 1_700_000_000.0}
READINESS = {
    "status": "ok",
    "service": "orchestration",
    "mode": "normal",
    "store": {"up": True, "seconds": 0.001},
    "snapshot_age": 1.5,
}
SERVICES = {
    "services": {"automl": {"ready": False, "mode": None, "seconds": None, "detail": "no answer"}}
}
CLEANUP: dict[str, Any] = {
    "dry_run": True,
    "removed": {
        "api_keys": 1,
        "sessions": 2,
        "tokens": 3,
        "revocations": 4,
        "signing_keys": 5,
        "idempotency_keys": 6,
    },
    "healthy_before": True,
    "healthy_after": True,
    "seconds": 0.01,
}
ME = {
    "name": "ada",
    "kind": "user",
    "role": "admin",
    "scopes": ["agents:read"],
    "expires_at": 1_700_000_600.0,
    "session": "s1",
}


def page(*items: Any, cursor: str | None = None) -> dict[str, Any]:
    """A page of a list."""
    return {"items": list(items), "next_cursor": cursor}
