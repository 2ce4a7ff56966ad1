"""The hold-out: a stable random share of units that are never listed for contact, for every model and date."""

import hashlib
from collections.abc import Sequence

import numpy as np

SALT = "tsunagi hold-out 1"


def held_out(units: Sequence[str], share: float) -> np.ndarray:
    """Whether each unit is held out, (n,) bool."""
    limit = int(share * 2**64)
    return np.array([_draw(unit) < limit for unit in units], bool)


def _draw(unit: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{SALT}\0{unit}".encode()).digest()[:8])
