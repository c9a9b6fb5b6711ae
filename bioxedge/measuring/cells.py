"""Which cells a sweep has: every variant on every provider that computes as it was proven."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from bioxedge.manifest import Manifest
from bioxedge.measuring.results import Absent
from bioxedge.runtime.engine import fitting, misfit


def cells(
    about: Manifest, variants: Sequence[str], providers: Sequence[str], threads: Sequence[int]
) -> tuple[list[tuple[str, str, int]], list[Absent]]:
    """Give the cells, and one line for each variant or provider that is in none of them.

    A pair that does not fit is no cell: it could be measured on no machine.

    Parameters
    ----------
    about : Manifest
    variants, providers, threads : sequences
        What to sweep.

    Returns
    -------
    wanted : list of (variant, provider, threads)
    absent : list of Absent
    """
    fits = [pair for pair in itertools.product(variants, providers) if misfit(about, *pair) is None]
    absent = []
    for variant in variants:
        if any(variant == pair[0] for pair in fits):
            continue
        needs = fitting(about.model[variant].precision)[0]
        why = misfit(about, variant, providers[0]) or ""
        absent.append(Absent(variant=variant, threads=0, provider=needs, why=why))
    for provider in providers:
        if any(provider == pair[1] for pair in fits) or not fits:
            continue
        why = misfit(about, variants[0], provider) or ""
        absent.append(Absent(variant=variants[0], threads=0, provider=provider, why=why))
    return [(*pair, count) for pair in fits for count in threads], absent
