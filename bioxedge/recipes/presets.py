"""Choices that are taken together where a recipe leaves them open.

``PAPER`` is what was published (Li et al., BioX-Bridge, ICLR 2026): a constant rate, the cosine of
all tokens of the last block, prototypes and map drawn at random, nothing standardised. Rank,
prototypes, rates and epochs differ by direction and stand in the recipes.
"""

from __future__ import annotations

from typing import Any

PAPER: dict[str, dict[str, Any]] = {
    "bridge": {
        "start": "random",
        "standardise": False,
        "loss": "cosine",
        "over": "tokens",
        "at": "last",
        "batch": 16,
        "schedule": "constant",
        "patience": 0,
    },
    "head": {
        "copies": 0,
        "batch": 64,
        "epochs": 50,
        "learning_rate": 1e-4,
        "schedule": "constant",
        "standardise": False,
        "weights": "balanced",
    },
}
