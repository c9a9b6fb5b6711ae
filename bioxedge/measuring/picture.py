"""A report as a picture: how latencies are spread, and what a soak did to the machine."""

from __future__ import annotations

import io
import math
from typing import Any

from bioxedge.errors import MissingExtraError
from bioxedge.measuring.machine import NOW
from bioxedge.measuring.results import Report


def png(report: Report) -> bytes:
    """Draw it.

    Raises
    ------
    MissingExtraError
        There is no matplotlib here.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "train") from error
    rows = 1 + (report.open is not None) + 2 * (report.soak is not None)
    figure = Figure(figsize=(8, 2.6 * rows + 0.6), layout="constrained")
    axes = list(figure.subplots(rows, 1, squeeze=False)[:, 0])
    about = report.machine
    marks = ("" if report.valid else " (not valid)") + ("" if report.complete else " (incomplete)")
    figure.suptitle(f"{report.bundle.name} on {about.board}, {about.cpu}{marks}", fontsize=10)
    _closed(axes.pop(0), report)
    if report.open is not None:
        _open(axes.pop(0), report)
    if report.soak is not None:
        _soak(axes.pop(0), axes.pop(0), report)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def _closed(axis: Any, report: Report) -> None:
    for cell in report.cells:
        ms = [value for run in cell.runs for value in run.result.ms]
        if ms:
            axis.hist(ms, bins=_bins(ms), histtype="step", label=cell.name)
    axis.set(xlabel="ms a window, closed loop", ylabel="windows")
    if axis.has_data():
        axis.legend(fontsize=7)


def _open(axis: Any, report: Report) -> None:
    loop = report.open
    if loop is None or loop.latency is None:
        return
    ms = [value for run in loop.runs for value in run.result.latency]
    axis.hist(ms, bins=_bins(ms), color="0.7")
    for name, style in (("p50", "-"), ("p90", "--"), ("p99", "-."), ("p999", ":")):
        value = getattr(loop.latency, name)
        if value is not None:
            shown = "p99.9" if name == "p999" else name
            axis.axvline(value, color="k", linestyle=style, label=f"{shown} {value:.2f} ms")
    axis.set(
        xlabel=f"ms from due to written, open loop, a window every {loop.hop:g} s",
        ylabel="windows", yscale="log",
    )  # fmt: skip
    axis.legend(fontsize=7)


def _soak(above: Any, below: Any, report: Report) -> None:
    soak = report.soak
    if soak is None:
        return
    zero = soak.readings[0].t if soak.readings else 0.0
    above.plot([s.t - zero for s in soak.seconds], [s.p50 for s in soak.seconds], label="p50")
    above.plot(
        [s.t - zero for s in soak.seconds], [s.most for s in soak.seconds], ".", ms=2, label="most"
    )
    above.set(ylabel="ms a window, soak", yscale="log")
    above.legend(fontsize=7)
    drawn = False
    for name, scale, label in (("temperature_c", 1.0, "°C"), ("frequency_hz", 1e-7, "10 MHz")):
        both = [(r.t - zero, getattr(r, name)) for r in soak.readings]
        known = [(t, value * scale) for t, value in both if value is not None]
        if known:
            below.plot(*zip(*known, strict=True), label=label)
            drawn = True
    for r in soak.readings:
        if r.throttled is not None and r.throttled & NOW:
            below.axvline(r.t - zero, color="r", alpha=0.3)
    below.set(xlabel="seconds", ylabel="red: throttled")
    if drawn:
        below.legend(fontsize=7)
    else:
        below.text(0.5, 0.5, "no temperature or frequency to read here", ha="center")


def _bins(values: list[float]) -> int:
    return max(10, min(80, 2 * math.isqrt(len(values))))
