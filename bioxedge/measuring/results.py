"""The report of a bench: all that makes it comparable, every sample, and a file of JSON.

``docs/bench.md`` says what each field means. A report is written anew after every step, in one
step on the disk, so that whatever ends a bench leaves a whole file of what was measured so far.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

import msgspec

from bioxedge.errors import BundleError
from bioxedge.measuring.machine import Machine, Reading
from bioxedge.measuring.numbers import Numbers
from bioxedge.measuring.readings import Watched
from bioxedge.measuring.tasks import Closed, Cold, Memory, Opened, Parts, Proven

FORMAT = 1
"""A field that changes its meaning makes it 2."""
FILE = "bench.json"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One variant's file."""

    precision: str
    sha256: str
    bytes: int
    parameters: int


class Bundled(msgspec.Struct, frozen=True, kw_only=True):
    """The bundle: ``hop`` and ``window`` in seconds of signal, ``bytes`` of all its files."""

    name: str
    digest: str
    hop: float
    window: float
    bytes: int
    models: dict[str, Model]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; ``hop`` is None where the bench chose it."""

    windows: int
    restarts: int
    hop: float | None
    soak_minutes: float
    busy: float
    quick: bool = False


class ClosedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a cell, and what the machine did meanwhile."""

    result: Closed
    watched: Watched


class Cell(msgspec.Struct, kw_only=True):
    """A variant on so many threads of a provider; times in milliseconds, closed loop.

    Attributes
    ----------
    median, spread : float or None
        Of the processes' medians: their median, and how far they lie apart, as a share of it.
    ms : Numbers or None
        Of all windows of all processes.
    joules : float or None
        A window's, idle subtracted; None where that is not measurable.
    """

    variant: str
    precision: str
    threads: int
    provider: str
    proven: Proven
    runs: list[ClosedRun] = []
    ms: Numbers | None = None
    median: float | None = None
    spread: float | None = None
    cold: Cold | None = None
    memory: Memory | None = None
    joules: float | None = None
    invalid: list[str] = []

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.variant} on {self.provider}, {threads(self.threads)}"


class Absent(msgspec.Struct, frozen=True, kw_only=True):
    """A cell that was not measured, and why; 0 threads stands for any number."""

    variant: str
    threads: int
    provider: str
    why: str


class OpenRun(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the open loop, and what the machine did meanwhile."""

    result: Opened
    watched: Watched


class Open(msgspec.Struct, kw_only=True):
    """The open loop of one cell; times in milliseconds.

    Attributes
    ----------
    hop : float
        Seconds, as it was run.
    hop_is_real : bool
        Whether that is the bundle's own.
    jitter : float or None
        Standard deviation of the time between answers.
    misses : int
        Windows that took longer than the hop.
    tail : float or None
        p99 over p50.
    """

    variant: str
    threads: int
    provider: str
    hop: float
    hop_is_real: bool
    runs: list[OpenRun] = []
    latency: Numbers | None = None
    age: Numbers | None = None
    stages: dict[str, Numbers] = {}
    jitter: float | None = None
    misses: int = 0
    tail: float | None = None
    invalid: list[str] = []


class Inside(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's parts in one cell."""

    variant: str
    threads: int
    provider: str
    parts: Parts


class Second(msgspec.Struct, frozen=True, kw_only=True):
    """One second of a soak."""

    t: float
    windows: int
    p50: float
    most: float


class Soak(msgspec.Struct, kw_only=True):
    """The closed loop without a pause for minutes; a figure a second."""

    variant: str
    threads: int
    provider: str
    minutes: float
    seconds: list[Second] = []
    readings: list[Reading] = []
    joules: float | None = None
    invalid: list[str] = []


class Energy(msgspec.Struct, frozen=True, kw_only=True):
    """The meter, and the watts that it showed while nothing ran."""

    meter: str
    idle_watts: float | None = None


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """What is fastest here, whether it was kept for ``bioxedge run``, and why (not)."""

    variant: str
    threads: int
    provider: str
    milliseconds: float
    saved: bool
    why: str


class Report(msgspec.Struct, kw_only=True):
    """All of it; times are UTC. See ``docs/bench.md``."""

    kind: str = "bench"
    format: int = FORMAT
    complete: bool = False
    valid: bool = True
    invalid: list[str] = []
    command: str
    began: str
    ended: str | None = None
    machine: Machine
    bundle: Bundled
    options: Options
    spinning: bool = False
    energy: Energy
    cells: list[Cell] = []
    absent: list[Absent] = []
    parts: list[Inside] = []
    open: Open | None = None
    soak: Soak | None = None
    choice: Chosen | None = None

    def settle(self) -> None:
        """Gather why figures may not be compared."""
        found = [f"{cell.name}: {why}" for cell in self.cells for why in cell.invalid]
        found += [f"open loop: {why}" for why in (self.open.invalid if self.open else ())]
        found += [f"soak: {why}" for why in (self.soak.invalid if self.soak else ())]
        self.invalid, self.valid = found, not found


def threads(count: int) -> str:
    """``1 thread``."""
    return f"{count} thread{'' if count == 1 else 's'}"


def dump(report: Report) -> str:
    """Give JSON that people can read: a line a field, and a line for a list of numbers."""
    text = json.dumps(msgspec.to_builtins(report), indent=1, allow_nan=False)
    flat = re.compile(r"\[\s+(-?\d[-\d.eE+,\s]*?)\s+\]")
    return flat.sub(lambda found: "[" + " ".join(found[1].split()) + "]", text) + "\n"


def write(path: Path, text: str | bytes) -> None:
    """Write a file in one step: the old one or the new one is there, whole."""
    raw = text.encode() if isinstance(text, str) else text
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(raw)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def load(path: Path) -> Report:
    """Read a report.

    Raises
    ------
    BundleError
        It is none, or of another format.
    """
    if path.is_dir():
        path = path / FILE
    try:
        report = msgspec.json.decode(path.read_bytes(), type=Report)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise BundleError(
            f"{path} is no report of bioxedge bench ({error}): give a {FILE} that it wrote"
        ) from error
    if report.kind != "bench" or report.format != FORMAT:
        raise BundleError(
            f"{path} is {report.kind} of format {report.format}, this version reads bench of "
            f"format {FORMAT}: measure again"
        )
    return report
