"""Which cell of a sweep is the fastest, and how it is kept for ``bioxedge run``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from bioxedge.manifest import Manifest
from bioxedge.measuring.results import Cell, Chosen, Report

TIE = 0.03
"""Cells whose medians lie this near are equally fast."""


def fastest(cells: Sequence[Cell]) -> Cell | None:
    """Give the fastest cell that was proven here.

    Among equals the one with fewer threads is taken, then fp32, then the plain CPU provider:
    what costs the rest of the machine less, and what has the least to go wrong.
    """
    proven = [(cell.median, cell) for cell in cells if cell.proven.passed and cell.median]
    if not proven:
        return None
    least = min(median for median, _ in proven)
    equal = [(median, cell) for median, cell in proven if median <= least * (1 + TIE)]
    _, best = min(
        equal,
        key=lambda one: (
            one[1].threads, one[1].precision != "fp32", one[1].provider != "cpu", one[0],
        ),
    )  # fmt: skip
    return best


def choose(report: Report, manifest: Manifest, *, keep: bool) -> Chosen | None:
    """Keep the fastest cell for ``bioxedge run``, where the figures may be believed.

    Parameters
    ----------
    report : Report
    manifest : Manifest
    keep : bool
        Whether to keep it at all.
    """
    from bioxedge.runtime import choice

    best = fastest(report.cells)
    if best is None:
        return None
    milliseconds = best.median or 0.0
    invalid = [why for cell in report.cells for why in cell.invalid]
    saved = False
    if not keep:
        why = "not kept: --no-choice"
    elif invalid:
        why = f"not kept, because the figures are not valid: {invalid[0]}"
    elif any(len(cell.runs) < report.options.restarts for cell in report.cells):
        why = "not kept: the sweep did not come to its end"
    else:
        made = choice.Choice(
            variant=best.variant,
            threads=best.threads,
            provider=best.provider,
            milliseconds=milliseconds,
            onnxruntime=best.runs[0].result.onnxruntime,
            machine=choice.identity(),
            made=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        )
        try:
            place = choice.save(manifest, made)
            saved, why = True, f"bioxedge run takes it from now on ({place})"
        except OSError as error:
            why = f"not kept: {error.filename or 'the cache'}: {error.strerror or error}"
    return Chosen(
        variant=best.variant,
        threads=best.threads,
        provider=best.provider,
        milliseconds=milliseconds,
        saved=saved,
        why=why,
    )
