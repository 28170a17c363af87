"""The audit log: an append-only chain of records, its checkpoints, and its queue on disk."""
