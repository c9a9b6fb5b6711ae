"""Whether a cell of the sweep computes what the bundle was proven with."""

from __future__ import annotations

from bioxedge.errors import BundleError
from bioxedge.measuring.tasks import Proven, Task


def prove(task: Task) -> Proven:
    """Hold one variant on one provider to the golden answers; a refusal is an answer, too."""
    from bioxedge.bundle import Bundle
    from bioxedge.runtime import verify

    bundle = Bundle.open(task.bundle)
    try:
        report = verify(bundle, variant=task.variant, threads=task.threads, provider=task.provider)
    except BundleError as error:
        return Proven(passed=False, why=" ".join(str(error).split()))
    return Proven(passed=True, difference=report.difference, agreement=report.agreement)
