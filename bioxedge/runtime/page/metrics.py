"""A run's state as Prometheus reads it: text, version 0.0.4.

Every set of label values is bounded: labels and channels by the bundle, kinds of events by the
program, reasons by :data:`bioxedge.runtime.page.state.REASONS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bioxedge.runtime.page.state import BOUNDS, RunState, Took, faults

CONTENT = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[str, dict[str, str], float]
Family = tuple[str, str, str, list[Sample]]
Values = Iterable[tuple[RunState, dict[str, str], float]]


def exposition(runs: Sequence[RunState], clients: int) -> str:
    """Give every metric of every run as text."""
    lines: list[str] = []
    for name, kind, help_text, samples in _families(runs, clients):
        lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
        lines += [f"{one}{_labels(labels)} {_number(value)}" for one, labels, value in samples]
    return "\n".join([*lines, ""])


def _of(name: str, kind: str, help_text: str, values: Values) -> Family:
    """Give a metric with a sample for each run and set of labels."""
    name = f"bioxedge_{name}"
    return name, kind, help_text, [(name, {"run": run.name, **ls}, n) for run, ls, n in values]


def _families(runs: Sequence[RunState], clients: int) -> list[Family]:
    """Give each metric that has a sample."""
    found: list[Family] = [
        _of(
            "info",
            "gauge",
            "What runs; always 1.",
            (
                (
                    run,
                    {
                        "bundle": run.info.bundle,
                        "digest": run.info.digest,
                        "sensor": run.info.sensor or "",
                        "version": run.info.versions.get("bioxedge", ""),
                    },
                    1,
                )
                for run in runs
            ),
        ),
        _of("up", "gauge", "Whether the run goes on.", ((r, {}, r.running) for r in runs)),
        _of("stale", "gauge", "Whether the label is too old.", ((r, {}, r.stale) for r in runs)),
        _of(
            "windows_total",
            "counter",
            "Windows with a label.",
            ((r, {"label": one}, r.labels[one]) for r in runs for one in r.info.labels),
        ),
        _of(
            "windows_with_value_total",
            "counter",
            "Windows with a value.",
            ((r, _value(r), r.values) for r in runs if r.info.value is not None),
        ),
        _of(
            "windows_without_label_total",
            "counter",
            "Windows without a label, or a value, by what was wrong.",
            ((r, {"reason": one}, n) for r in runs for one, n in sorted(r.reasons.items())),
        ),
        _of(
            "events_total",
            "counter",
            "Events of each kind.",
            ((r, {"kind": one}, n) for r in runs for one, n in sorted(r.events.items())),
        ),
        _of("samples_total", "counter", "Input samples.", ((r, {}, r.samples) for r in runs)),
        _of(
            "samples_missing_total",
            "counter",
            "Input samples seen to be missing in any channel; all there are where loss is known.",
            ((r, {}, r.missing) for r in runs),
        ),
        _of(
            "loss_known", "gauge", "Whether a loss is seen.", ((r, {}, r.loss_known) for r in runs)
        ),
        _of("rate_hertz", "gauge", "Real rate of the sensor.", _rates(runs)),
        _of("nominal_rate_hertz", "gauge", "Nominal rate.", ((r, {}, r.info.rate) for r in runs)),
        _of(
            "silence_seconds",
            "gauge",
            "Since samples came.",
            ((r, {}, r.silent) for r in runs if r.running),
        ),
        _of(
            "label_age_seconds",
            "gauge",
            "Since the sensor took the last window's last sample.",
            ((r, {}, age) for r in runs if (age := r.label_age) is not None),
        ),
        _of(
            "probability",
            "gauge",
            "Of each label, in the last window; absent where the model was not asked.",
            (
                (r, {"label": one}, value)
                for r in runs
                if r.last is not None
                for one, value in r.last.probabilities.items()
            ),
        ),
        _of(
            "value",
            "gauge",
            "What the last window says, in its unit; absent where it says nothing.",
            (
                (r, _value(r), r.last.value)
                for r in runs
                if r.last is not None and r.last.value is not None
            ),
        ),
        _of(
            "channel_good",
            "gauge",
            "Whether nothing is wrong with a channel in the last window.",
            (
                (r, {"channel": one}, fault is None)
                for r in runs
                if r.last is not None
                for one, fault in (faults(r.last) or {}).items()
            ),
        ),
        _histogram("latency_seconds", "From a window's last sample in hand to its answer.", runs),
        _histogram("age_seconds", "From a window's last sample acquired to its answer.", runs),
        (
            "bioxedge_page_clients",
            "gauge",
            "Connections to this page.",
            [("bioxedge_page_clients", {}, clients)],
        ),
    ]
    return [one for one in found if one[3]]


def _value(run: RunState) -> dict[str, str]:
    """Say which value a run tells."""
    about = run.info.value
    return {} if about is None else {"name": about.name, "unit": about.unit}


def _rates(runs: Sequence[RunState]) -> Values:
    for run in runs:
        if run.last is not None and run.last.rate is not None:
            yield run, {}, run.last.rate


def _histogram(name: str, help_text: str, runs: Sequence[RunState]) -> Family:
    """Give cumulative buckets, sum and count for each run."""
    name = f"bioxedge_{name}"
    samples: list[Sample] = []
    for run in runs:
        took: Took = run.latency if "latency" in name else run.age
        total = 0
        for bound, count in zip([*BOUNDS, None], list(took.counts), strict=True):
            total += count
            le = "+Inf" if bound is None else repr(bound)
            samples.append((f"{name}_bucket", {"run": run.name, "le": le}, total))
        samples.append((f"{name}_sum", {"run": run.name}, took.total))
        samples.append((f"{name}_count", {"run": run.name}, total))
    return name, "histogram", help_text, samples


def _labels(labels: dict[str, str]) -> str:
    """``{name="value",…}``, escaped."""
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return repr(float(value)) if isinstance(value, float) else str(int(value))
