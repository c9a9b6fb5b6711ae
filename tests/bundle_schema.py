"""The tables of docs/format.md: keys, types, bounds and defaults of a manifest."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import bundle_agreement

Check = Callable[[Any, str], Any]
MUST = object()
MEASURES = ("span", "level", "hiss", "roughness", "crest", "run", "edge", "mains")
FAULTS = ("missing", "flat", "railed", "no contact", "noise", "amplitude", "unlike")


class OddError(Exception):
    """What a value is not, and where."""


def _must(holds: bool, path: str) -> None:
    if not holds:
        raise OddError(path)


def _object(**fields: tuple[Check, Any]) -> Check:
    def check(value: Any, path: str) -> Any:
        _must(isinstance(value, dict) and value.keys() <= fields.keys(), path)
        found = {}
        for key, (inner, default) in fields.items():
            if key in value:
                found[key] = inner(value[key], f"{path}.{key}")
            else:
                _must(default is not MUST, f"{path}.{key}")
                found[key] = default
        return found

    return check


def _array(inner: Check, least: int = 0, most: float = math.inf) -> Check:
    def check(value: Any, path: str) -> Any:
        _must(isinstance(value, list) and least <= len(value) <= most, path)
        return [inner(item, f"{path}[{i}]") for i, item in enumerate(value)]

    return check


def _named(inner: Check, least: int = 0, names: tuple[str, ...] = ()) -> Check:
    def check(value: Any, path: str) -> Any:
        _must(isinstance(value, dict) and len(value) >= least, path)
        _must(not names or value.keys() <= set(names), path)
        return {key: inner(item, f"{path}.{key}") for key, item in value.items()}

    return check


def _number(holds: Callable[[float], bool] = math.isfinite) -> Check:
    def check(value: Any, path: str) -> Any:
        right = type(value) in (int, float) and math.isfinite(value) and holds(value)
        _must(right, path)
        return value

    return check


def _whole(least: int, most: float = math.inf) -> Check:
    def check(value: Any, path: str) -> Any:
        _must(type(value) is int and least <= value <= most, path)
        return value

    return check


def _word(*words: Any) -> Check:
    def check(value: Any, path: str) -> Any:
        _must(any(type(value) is type(word) and value == word for word in words), path)
        return value

    return check


def _like(pattern: str) -> Check:
    def check(value: Any, path: str) -> Any:
        _must(isinstance(value, str) and re.fullmatch(pattern, value) is not None, path)
        return value

    return check


def _or_null(inner: Check) -> Check:
    return lambda value, path: None if value is None else inner(value, path)


def _is(kind: type) -> Check:
    def check(value: Any, path: str) -> Any:
        _must(type(value) is kind, path)
        return value

    return check


def _stage(**kinds: Check) -> Check:
    def check(value: Any, path: str) -> Any:
        _must(isinstance(value, dict) and value.get("stage") in list(kinds), path)
        rest = {key: item for key, item in value.items() if key != "stage"}
        return {"stage": value["stage"], **kinds[value["stage"]](rest, path)}

    return check


TEXT = _like(r"(?s).{1,400}")
NAME = _like(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
HASH = _like(r"[0-9a-f]{64}")
NUMBER, POSITIVE = _number(), _number(lambda n: n > 0)
SHARE, MARGIN = _number(lambda n: 0 <= n <= 1), _number(lambda n: n >= 1)
COUNT, ONE = _whole(0), _whole(1)
TENSOR = _object(name=(TEXT, MUST), shape=(_array(ONE, 1, 4), MUST))
QUANTILES = _object(**dict.fromkeys(("least", "low", "middle", "high", "most"), (NUMBER, MUST)))

EXPECT = _object(
    channel=(TEXT, MUST),
    samples=(ONE, MUST),
    windows=(ONE, MUST),
    people=(ONE, MUST),
    measures=(_object(**dict.fromkeys(MEASURES, (QUANTILES, MUST))), MUST),
)
INPUT = _object(
    modality=(TEXT, MUST),
    channels=(_array(_object(name=(TEXT, MUST), unit=(TEXT, MUST)), 1), MUST),
    rate=(POSITIVE, MUST),
    sensors=(_array(TEXT), []),
    expect=(_array(EXPECT), []),
)
STAGE = _stage(
    select=_object(channels=(_array(TEXT, 1), MUST)),
    scale=_object(gain=(NUMBER, 1.0), offset=(NUMBER, 0.0)),
    resample=_object(up=(ONE, MUST), down=(ONE, MUST), reach=(ONE, 10), warmup=(COUNT, MUST)),
    standardise=_object(warmup=(ONE, MUST), memory=(COUNT, 0)),
    filter=_object(
        design=(_word("butterworth", "chebyshev1", "notch"), MUST),
        cutoff=(_array(POSITIVE, 1, 2), MUST),
        kind=(_word("lowpass", "highpass", "bandpass", "bandstop"), "bandpass"),
        order=(_whole(1, 12), 2),
        ripple=(POSITIVE, 0.5),
        q=(POSITIVE, 30.0),
        warmup=(COUNT, MUST),
        sections=(_or_null(_array(_array(NUMBER, 6, 6), 1, 24)), None),
    ),
)
VARIANT = _object(
    file=(NAME, MUST),
    precision=(_word("fp32", "fp16", "bf16", "int8"), MUST),
    opset=(_whole(13, 18), MUST),
    ir=(_whole(7, 10), MUST),
    sha256=(HASH, MUST),
    bytes=(ONE, MUST),
    parameters=(ONE, MUST),
    input=(TENSOR, MUST),
    output=(TENSOR, MUST),
    tolerance=(_number(lambda n: 0 < n <= 0.5), 1e-4),
    agreement=(SHARE, 1.0),
)
DECISION = _object(
    smoothing=(_number(lambda n: n >= 0), 0.0),
    threshold=(_number(lambda n: 0 <= n < 1), 0.0),
    patience=(ONE, 1),
    refractory=(COUNT, 0),
)
VALUE = _object(name=(TEXT, MUST), unit=(TEXT, MUST), low=(NUMBER, MUST), high=(NUMBER, MUST))
OUTPUT = _object(
    labels=(_array(TEXT), MUST),
    calibration=(
        _object(temperature=(POSITIVE, MUST), bias=(_array(NUMBER, 1), MUST)),
        MUST,
    ),
    decision=(DECISION, DECISION({}, "")),
    value=(_or_null(VALUE), None),
)
OTHER = _object(name=(_like(r"[A-Za-z][A-Za-z0-9_-]{0,40}"), MUST), output=(OUTPUT, MUST))
QUALITY = _object(
    min_real=(SHARE, 0.5),
    amplitude=(_is(bool), True),
    off=(_array(_word(*FAULTS)), []),
    flat_run=(SHARE, 0.25),
    flat_span=(SHARE, 0.1),
    railed_edge=(SHARE, 0.1),
    mains=(SHARE, 0.5),
    contact_level=(_or_null(NUMBER), None),
    noise=(SHARE, 0.2),
    amplitude_margin=(MARGIN, 5.0),
    roughness_margin=(MARGIN, 1.75),
    crest_margin=(MARGIN, 1.25),
)
BASELINE = _object(settle=(ONE, MUST), memory=(COUNT, 0), clip=(POSITIVE, 8.0))
FEATURES = _object(
    encoder=(ONE, MUST),
    classic=(_array(TEXT), []),
    fill=(_array(NUMBER), []),
    baseline=(_or_null(BASELINE), None),
)
PART = _object(
    model=(TEXT, MUST),
    cut=(COUNT, MUST),
    blocks=(ONE, MUST),
    checkpoint=(TEXT, MUST),
    checkpoint_sha256=(HASH, MUST),
    parameters=(COUNT, MUST),
)
BRIDGE = ("in_features", "out_features", "tokens", "rank", "prototypes", "trained_parameters")
LICENCE = _object(part=(TEXT, MUST), licence=(TEXT, MUST), non_commercial=(_is(bool), False))
MADE_BY = _object(
    bioxedge=(TEXT, MUST),
    versions=(_named(_is(str)), MUST),
    source=(PART, MUST),
    target=(PART, MUST),
    bridge=(_object(**dict.fromkeys(BRIDGE, (ONE, MUST))), MUST),
    data=(
        _object(name=(TEXT, MUST), split=(_named(_array(_is(str))), MUST), seed=(COUNT, MUST)),
        MUST,
    ),
    metrics=(_named(_named(NUMBER)), MUST),
    licences=(_array(LICENCE, 1), MUST),
    non_commercial=(_is(bool), MUST),
)
DOCUMENT = _object(
    format=(_word(2), MUST),
    name=(TEXT, MUST),
    input=(INPUT, MUST),
    stream=(_object(stages=(_array(STAGE), []), max_gap=(COUNT, 0)), MUST),
    window=(
        _object(
            length=(ONE, MUST),
            hop=(ONE, MUST),
            then=(_array(_stage(zscore=_object(), rank=_object())), []),
        ),
        MUST,
    ),
    model=(_named(VARIANT, 1), MUST),
    golden=(
        _object(
            file=(NAME, MUST),
            sha256=(HASH, MUST),
            bytes=(ONE, MUST),
            windows=(ONE, MUST),
            dsp_tolerance=(_number(lambda n: 0 < n <= 0.01), 1e-6),
        ),
        MUST,
    ),
    output=(OUTPUT, MUST),
    quality=(_or_null(QUALITY), MUST),
    made_by=(MADE_BY, MUST),
    features=(_or_null(FEATURES), None),
    others=(_or_null(_array(OTHER, 1)), None),
    digest=(HASH, MUST),
)


def read(document: Any, refused: type[Exception]) -> dict[str, Any]:
    """Hold a document to the tables; give it with its defaults filled in."""
    try:
        about: dict[str, Any] = DOCUMENT(document, "$")
        bundle_agreement.hold(about, _must)
    except OddError as error:
        raise refused(str(error)) from error
    return about
