"""A unit or a modality that cannot be what was trained on: refused before the first label."""

from __future__ import annotations

from collections.abc import Sequence

from bioxedge.quality.verdict import Verdict
from bioxedge.spec import Expect, Input, QualitySpec


def misfit(
    verdict: Verdict, source: Input, expect: Sequence[Expect], quality: QualitySpec
) -> str | None:
    """Give the one line that refuses a run, or None: see :meth:`Judge.misfit`."""
    return None
