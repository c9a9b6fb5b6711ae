"""Prove a bundle on this machine: its files, its stages and its model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bioxedge.bundle import Bundle
from bioxedge.errors import BundleError
from bioxedge.goldenfile import golden_classic
from bioxedge.manifest import Golden, Output, Variant
from bioxedge.runtime.answers import LEAST_SPREAD, agreement_of, spread_of, tells_apart
from bioxedge.runtime.engine import Engine
from bioxedge.signals import Chunk
from bioxedge.spec import FeaturesSpec

__all__ = ["LEAST_SPREAD", "Proof", "Report", "spread_of", "verify", "verify_all"]


@dataclass(frozen=True)
class Report:
    """What was found; every figure is within its bound, or there is no report.

    Attributes
    ----------
    name : str
        The bundle's.
    files, bytes : int
        Files that match size and sha256, the manifest counted, and their bytes without it.
    windows : int
        Golden windows.
    dsp_difference, dsp_tolerance : float
        Largest absolute difference of windows cut here from golden ones, and its bound.
    dsp_bitwise : bool
        Whether they are equal to the last bit.
    difference, tolerance : float
        Largest absolute difference of probabilities, and its bound; of values, as a share of the
        range that they were learnt in.
    repeat_difference : float
        The same between two runs on this machine.
    agreement, least_agreement : float
        Share of golden windows that are given the same label, and its bound. Where the two best
        labels are a tie, either of them is the same. 1 where a value is told; of several tasks
        that of the one with the least.
    variant, provider : str
        What ran.
    absent : dict of str to str
        Checks that the bundle does not allow on a device, and why.
    spread : float
        How far golden answers differ between windows, as ``difference`` says it. Below
        :data:`LEAST_SPREAD` a model that always answers the same would pass; the report says so.
    unit : str or None
        Of the value that is told; None where labels are, of any task.
    """

    name: str
    files: int
    bytes: int
    windows: int
    dsp_difference: float
    dsp_tolerance: float
    dsp_bitwise: bool
    difference: float
    tolerance: float
    repeat_difference: float
    agreement: float
    least_agreement: float
    variant: str
    provider: str
    absent: dict[str, str]
    spread: float
    unit: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON; of agreement and unit what there is."""
        about = asdict(self)
        for name in ("unit",) if self.unit is None else ("agreement", "least_agreement"):
            del about[name]
        return {**about, "pass": True}

    def lines(self) -> list[str]:
        """Give the report as lines of text."""
        return [*self._head(), self.model_line(), *self._notes(), "PASS"]

    def model_line(self) -> str:
        """Say what the model was found to answer."""
        head = f"  model   {self.variant} on {self.provider}: largest difference of a "
        bound, again = f"(bound {self.tolerance:.0e})", f"{self.repeat_difference:.1e}"
        if self.unit is not None:
            share = f"{self.difference:.1e} of its range"
            return f"{head}value {share} {bound}, between two runs {again}"
        return (
            f"{head}probability {self.difference:.1e} {bound}, between two runs {again}; "
            f"{self.agreement:.1%} of the labels agree (at least {self.least_agreement:.1%})"
        )

    def _head(self) -> list[str]:
        exact = "equal to the last bit" if self.dsp_bitwise else "not bitwise equal"
        return [
            f"{self.name}",
            f"  files   {self.files} match their size and sha256 ({self.bytes / 1e6:.2f} MB)",
            f"  stages  {self.windows} golden windows cut from raw samples: {exact}, largest "
            f"difference {self.dsp_difference:.1e} (bound {self.dsp_tolerance:.0e})",
        ]

    def _notes(self) -> list[str]:
        found = [f"  absent  {check}: {why}" for check, why in self.absent.items()]
        if self.spread < LEAST_SPREAD:
            found.append(
                f"  unsure  golden answers differ by {self.spread:.1e} between windows: whether "
                "the model tells windows apart cannot be told"
            )
        return found


@dataclass(frozen=True)
class Proof:
    """What was found of all variants.

    Attributes
    ----------
    reports : dict of str to Report
        Of those that run here; that of ``fp32`` first.
    unloadable : dict of str to str
        Those that this machine's runtime cannot load, and why.
    """

    reports: dict[str, Report]
    unloadable: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON: the first report's, and all of them by variant."""
        first = next(iter(self.reports.values()))
        variants = {name: report.to_dict() for name, report in self.reports.items()}
        return {**first.to_dict(), "variants": variants, "unloadable": self.unloadable}

    def lines(self) -> list[str]:
        """Give the reports as lines of text."""
        first, *others = self.reports.values()
        return [
            *first._head(),
            first.model_line(),
            *(report.model_line() for report in others),
            *(f"  cannot  {name}: {why}" for name, why in self.unloadable.items()),
            *first._notes(),
            "PASS",
        ]


def verify_all(bundle: Bundle, *, threads: int = 1, provider: str | None = None) -> Proof:
    """Hold this machine to every variant of a bundle that its runtime can load.

    Parameters are as for `verify`.

    Raises
    ------
    BundleError
        A variant that runs here and gives something else, or ``fp32`` (the only variant, where
        there is one) cannot be loaded.
    """
    about = bundle.manifest
    first = next(name for name, part in about.model.items() if part == about.variant())
    reports, unloadable = {}, {}
    for name in sorted(about.model, key=lambda name: (name != first, name)):
        try:
            engine = Engine(bundle, name, threads, provider and [provider])
        except BundleError as error:
            if name == first:
                raise
            # What a variant in bf16 lacks is no newer ONNX Runtime, and the error says what.
            update = "" if about.model[name].precision == "bf16" else "update onnxruntime, or "
            unloadable[name] = f"{error}; {update}use another variant: {first} runs here"
            continue
        try:
            reports[name] = _held(bundle, engine)
        finally:
            engine.close()
    return Proof(reports, unloadable)


def verify(
    bundle: Bundle, *, variant: str | None = None, threads: int = 1, provider: str | None = None
) -> Report:
    """Hold this machine to a bundle's golden windows and answers.

    Parameters
    ----------
    bundle : Bundle
        Opening it has checked the files.
    variant : str, optional
    threads : int, optional
    provider : str, optional
        See :mod:`bioxedge.runtime.session`; what fits the variant by default.

    Raises
    ------
    BundleError
        Stages or model give something else here than where the bundle was made; says how far.
        Or the model gives all windows nearly the same answer.
    """
    engine = Engine(bundle, variant, threads, provider and [provider])
    try:
        return _held(bundle, engine)
    finally:
        engine.close()


def _held(bundle: Bundle, engine: Engine) -> Report:
    """Hold stages and one loaded variant to the golden windows."""
    about, golden = bundle.manifest, bundle.golden
    cut = [
        window.samples
        for piece in golden.raw
        for window in bundle.windows().push(Chunk(piece, 0, about.input.rate))
    ]
    if len(cut) != len(golden.windows):
        raise BundleError(
            f"{bundle.path}: the golden samples give {len(cut)} windows here, "
            f"{len(golden.windows)} where the bundle was made; build it again"
        )
    windows = np.stack(cut)
    dsp = _bounded(
        bundle, "windows cut from the golden samples", windows, golden.windows,
        about.golden.dsp_tolerance,
    )  # fmt: skip
    beside = [None] * len(cut) if golden.beside is None else list(golden.beside)
    if about.features is not None and about.features.classic:
        _hold_classic(bundle, about.features)
    runs = (
        np.stack([engine.run(*each) for each in zip(golden.windows, beside, strict=True)])
        for _ in range(2)
    )
    # Differences of a value are told as shares of its range: nothing else says what is small.
    answers, first, second = (
        each.astype(np.float64) / np.array(about.scales) for each in (golden.answers, *runs)
    )
    part = about.model[engine.variant]
    found, agreement = 0.0, 1.0
    for task in about.tasks:
        off, agreed = _hold_task(bundle, engine.variant, task, answers, first, second)
        found, agreement = max(found, off), min(agreement, agreed)
    values = [output.value for _, output, _ in about.tasks if output.value is not None]
    parts: list[Variant | Golden] = [*about.model.values(), about.golden]
    files = {part.file: part.bytes for part in parts}  # two variants may share one
    return Report(
        name=about.name,
        files=len(files) + 1,
        bytes=sum(files.values()),
        windows=len(windows),
        dsp_difference=dsp,
        dsp_tolerance=about.golden.dsp_tolerance,
        dsp_bitwise=windows.tobytes() == golden.windows.tobytes(),
        difference=found,
        tolerance=part.tolerance,
        repeat_difference=float(np.abs(first - second).max()),
        agreement=agreement,
        least_agreement=part.agreement,
        variant=engine.variant,
        provider=engine.provider,
        absent=about.absent,
        spread=min(spread_of(answers[:, columns]) for *_, columns in about.tasks),
        unit=values[0].unit if len(values) == len(about.tasks) else None,
    )


def _hold_task(
    bundle: Bundle,
    variant: str,
    task: tuple[str, Output, slice],
    golden: Any,
    first: Any,
    second: Any,
) -> tuple[float, float]:
    """Hold one task's columns of two runs to the golden ones; give difference and agreement."""
    name, output, columns = task
    golden, first, second = golden[:, columns], first[:, columns], second[:, columns]
    part, who = bundle.manifest.model[variant], f"{variant}, {name}" if name else variant
    what = "probabilities" if output.value is None else "values, as shares of their range,"
    found = _bounded(bundle, f"{who}: {what}", first, golden, part.tolerance)
    _bounded(bundle, f"{who}: {what} of a second run", second, golden, part.tolerance)
    agreement = agreement_of(first, golden)
    if agreement < part.agreement:
        raise BundleError(
            f"{bundle.path}: {who} gives {agreement:.1%} of the golden windows their "
            f"label, at least {part.agreement:.1%} is asked for: use another variant, or build "
            "the bundle again"
        )
    if not tells_apart(first, golden):
        raise BundleError(
            f"{bundle.path}: {who} gives all {len(first)} golden windows nearly the "
            f"same answer ({what} differ by {spread_of(first):.1e} between windows, golden ones by "
            f"{spread_of(golden):.1e}): it does not hear the signal; build the bundle again"
        )
    return found, agreement


def _hold_classic(bundle: Bundle, features: FeaturesSpec) -> None:
    """Hold the classic features that are computed here to those of the golden windows.

    They differ in size by orders: each by its own.
    """
    about, golden = bundle.manifest, bundle.golden
    assert golden.beside is not None
    found = golden_classic(golden.raw, about.input, about.stream, about.window, features)
    wanted = golden.beside[:, : len(features.classic)].astype(np.float64)
    size = np.maximum(np.abs(wanted).max(axis=0), 1e-6)
    # What a window does not allow was filled in there; float32 keeps seven digits.
    off = np.where(np.isfinite(found), found - wanted, 0.0) / size
    tolerance = max(about.golden.dsp_tolerance, 1e-6)
    _bounded(bundle, "classic features of golden windows", off, np.zeros_like(off), tolerance)


def _bounded(bundle: Bundle, what: str, found: Any, golden: Any, tolerance: float) -> float:
    """Give the largest absolute difference, which must not exceed the bound."""
    difference = float(np.abs(found.astype(np.float64) - golden).max())
    if not difference <= tolerance:  # NaN is over every bound
        raise BundleError(
            f"{bundle.path}: {what} differ by {difference:.2e}, at most {tolerance:.0e} is "
            "allowed: this machine does not compute what the bundle was proven with; "
            "update numpy, scipy and onnxruntime, or build the bundle again"
        )
    return difference
