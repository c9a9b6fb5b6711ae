"""Small models of every kind, for tests that need one of each."""

from __future__ import annotations

from typing import Any

# options, and the samples of a window
SMALL: dict[str, tuple[dict[str, Any], int]] = {
    "labram": (
        {"electrodes": ("C3", "O2"), "filters": 4, "blocks": 2, "heads": 5, "inner": 130},
        400,
    ),
    "cbramod": ({"channels": 2, "filters": 5, "blocks": 2, "heads": 4, "inner": 48}, 400),
    "hubert_ecg": (
        {
            "width": 24,
            "blocks": 2,
            "heads": 4,
            "inner": 32,
            "filters": (8,) * 5,
            "position_kernel": 16,
            "position_groups": 4,
        },
        500,
    ),
    "ecg_fm": (
        {
            "width": 24,
            "blocks": 2,
            "heads": 4,
            "inner": 32,
            "filters": 6,
            "position_kernel": 16,
            "position_groups": 4,
        },
        240,
    ),
    "papagei": ({"base_filters": 4, "blocks": 5}, 250),
    "normwear": ({"channels": 2, "width": 24, "blocks": 3, "heads": 4, "inner": 40}, 100),
    "ecg_dualnet": (
        {"widths": (8, 8, 16), "groups": 4, "layers": 2, "inner": 24},
        18_000,
    ),
    "openecg": ({}, 500),
}
