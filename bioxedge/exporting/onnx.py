"""One static graph for any ONNX Runtime from 1.17 on: batch 1, opset 18, IR 10."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from bioxedge.errors import ExportError
from bioxedge.exporting.cleanup import clean
from bioxedge.manifest import BESIDE, FEATURES
from bioxedge.onnxfile import inspect
from bioxedge.spec import FeaturesSpec

OPSET = 18
IR = 10
INPUT, OUTPUT, VALUE = "window", "probabilities", "value"
ANSWERS = "answers"
"""What the output of several tasks is called."""


def to_onnx(
    model: nn.Module,
    channels: int,
    samples: int,
    output: str = OUTPUT,
    features: FeaturesSpec | None = None,
) -> bytes:
    """Export a model that takes one window.

    Parameters
    ----------
    model : Module
        In evaluation mode; ``[1, channels, samples]`` to ``[1, labels]``.
    channels, samples : int
    output : str, optional
        What to call the answers.
    features : FeaturesSpec, optional
        Of a model that takes something beside a window and gives its features, too.

    Returns
    -------
    bytes
        The whole ONNX file; no data outside it.

    Raises
    ------
    ExportError
        The exporter failed, or wrote a version that devices do not read.
    """
    window = torch.zeros(1, channels, samples)
    if features is None:
        return graph_of(model, window, output=output)
    # Inverse deviations of 0 would let an exporter find constants that are none.
    given = (window, torch.ones(1, features.beside))
    return _graph(model, given, (INPUT, BESIDE), (output, FEATURES))


def graph_of(
    model: nn.Module | torch.export.ExportedProgram,
    example: torch.Tensor,
    *,
    output: str = OUTPUT,
) -> bytes:
    """Export whatever takes one tensor of `example`'s shape and gives one; see `to_onnx`."""
    return _graph(model, (example,), (INPUT,), (output,))


def _graph(
    model: nn.Module | torch.export.ExportedProgram,
    given: tuple[torch.Tensor, ...],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
) -> bytes:
    """Export a model with so many inputs and outputs."""
    try:
        with _quiet():
            program = torch.onnx.export(
                model,
                given,
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        assert program is not None  # it is where dynamo is asked for
        program.model.ir_version = IR
        _forget_where(program.model.graph)
        file = io.BytesIO()
        program.save(file, external_data=False)  # type: ignore[arg-type]  # a file serves, too
    except Exception as error:  # the exporter raises whatever the operator at hand raises
        raise ExportError(
            f"the model cannot be exported ({type(error).__name__}): "
            f"{' '.join(str(error).split())[:300]}"
        ) from error
    raw = clean(file.getvalue())
    facts = inspect(raw)
    if facts.opset > OPSET or facts.ir > IR:
        raise ExportError(
            f"the exporter wrote opset {facts.opset} and IR {facts.ir}: devices read up to "
            f"{OPSET} and {IR}; nothing was written"
        )
    return raw


def _forget_where(graph: Any) -> None:
    """Drop the exporter's stack traces: a third of a small file, and paths of this machine."""
    for node in graph.all_nodes():
        node.metadata_props.clear()
    for value in (*graph.inputs, *graph.initializers.values()):
        value.metadata_props.clear()
    graph.metadata_props.clear()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says of its own inside and of packages that are not needed."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)
