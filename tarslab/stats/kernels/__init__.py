"""The loops of ``tarslab.stats`` that are compiled; each takes and fills plain arrays."""
