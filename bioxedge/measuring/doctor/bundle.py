"""A bundle on this machine: proven, and how it will be run. In another process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bioxedge.measuring.doctor import child
from bioxedge.measuring.doctor.finding import Finding

# Golden windows of a full-size bundle on a slow board.
PATIENCE = 300.0
_PROVE = """
from bioxedge.errors import BioxedgeError
from bioxedge.bundle import Bundle
from bioxedge.runtime import choice, verify
try:
    bundle = Bundle.open(sys.argv[1])
    report = verify(bundle)
except BioxedgeError as error:
    print(json.dumps({"error": " ".join(str(error).split())}))
else:
    kept = choice.load(bundle.manifest)
    many = kept and f"{kept.threads} thread" + "s" * (kept.threads > 1)
    made = kept and f"{kept.variant} on {many} ({kept.provider}), "
    made = kept and made + f"{kept.milliseconds:.3g} ms a window (bench of {kept.made})"
    print(json.dumps({"lines": report.lines(), "choice": made}))
"""


def check(bundle: Path) -> Iterator[Finding]:
    """Verify a bundle and tell what a bench found fastest for it."""
    outcome = child.python(_PROVE, str(bundle), patience=PATIENCE)
    answer = outcome.answer
    if answer is None or "error" in answer:
        said = outcome.said if answer is None else answer["error"]
        yield Finding(
            check="bundle", state="problem", seen=said, wanted="verified",
            cure="mend what the checks above name, then copy the bundle again or build it anew",
        )  # fmt: skip
        return
    yield Finding(check="bundle", state="ok", seen=f"{bundle} is proven", wanted="verified")
    if answer["choice"]:
        yield Finding(check="choice", state="ok", seen=answer["choice"])
    else:
        yield Finding(
            check="choice", state="warning", wanted="measured on this machine",
            seen="none: run takes fp32 on one thread", cure=f"bioxedge bench {bundle}",
        )  # fmt: skip
