"""From what was learnt to a bundle: fuse, export, prove, write."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from bioxedge import __version__, goldenfile, manifest, spec
from bioxedge.bridging.evaluate import Score
from bioxedge.bridging.train import trained_parameters
from bioxedge.building.expect import expectations, quality_of
from bioxedge.building.learn import Learnt
from bioxedge.bundle import Bundle, with_files, write
from bioxedge.datasets.pair import Pair
from bioxedge.datasets.windowed import as_worn, stream_of, window_of
from bioxedge.errors import ExportError
from bioxedge.exporting.onnx import INPUT, OUTPUT, to_onnx
from bioxedge.exporting.parity import TOLERANCE, answers, prove
from bioxedge.exporting.splice import BridgedModel
from bioxedge.goldenfile import GoldenData
from bioxedge.models.chain import Chain
from bioxedge.recipes import Model, quality_in
from bioxedge.runtime import Report, verify
from bioxedge.signals import Chunk, Samples
from bioxedge.windows import WindowStream, samples_needed

MODEL, GOLDEN = "model.onnx", "golden.npz"
PIECES, WINDOWS_PER_PIECE = 6, 3
PRETRAINED = "pretrained by bioxedge for this bundle"
_PENDING = "0" * 64  # hashes that are filled in when the files are there


def ship(
    learnt: Learnt, pairs: list[Pair], scores: list[Score], out: Path
) -> tuple[Bundle, Report]:
    """Write a bundle and prove it with the device's own code.

    Parameters
    ----------
    learnt : Learnt
    pairs : list of Pair
        The recordings; golden windows come from pair people's.
    scores : list of Score
        Goes into the manifest.
    out : Path
        The bundle's directory.

    Raises
    ------
    ExportError
        The graph does not answer as the trained model does; nothing was written.
    """
    model = bridged(learnt)
    side = learnt.recipe.source
    raw, windows = _golden_signal(learnt, pairs)
    wanted = answers(model, windows)
    graph = to_onnx(model, windows.shape[1], windows.shape[2])
    prove(graph, wanted, windows)
    files = {MODEL: graph, GOLDEN: goldenfile.pack(GoldenData(raw, windows, wanted))}
    about = manifest.Manifest(
        format=manifest.FORMAT,
        name=learnt.recipe.name,
        input=msgspec.structs.replace(side.sensor.input, expect=_expected(learnt, pairs)),
        stream=stream_of(side),
        window=window_of(side),
        model={
            "fp32": manifest.Variant(
                file=MODEL,
                precision="fp32",
                opset=18,
                ir=10,
                sha256=_PENDING,
                bytes=1,
                parameters=1,
                input=manifest.Tensor(name=INPUT, shape=(1, *windows.shape[1:])),
                output=manifest.Tensor(name=OUTPUT, shape=(1, wanted.shape[1])),
                tolerance=TOLERANCE,
            )
        },
        golden=manifest.Golden(file=GOLDEN, sha256=_PENDING, bytes=1, windows=len(windows)),
        output=manifest.Output(
            labels=learnt.recipe.task.labels,
            calibration=manifest.Calibration(
                temperature=learnt.calibration.temperature, bias=learnt.calibration.bias
            ),
            decision=learnt.recipe.decision,
        ),
        quality=quality_in(learnt.recipe, quality_of(side.sensor.input)),
        made_by=_made_by(learnt, scores),
    )
    bundle = write(out, with_files(about, files), files)
    return bundle, verify(bundle)


def bridged(learnt: Learnt) -> BridgedModel:
    """Splice what the device needs, and nothing else."""
    return BridgedModel(
        learnt.source[: learnt.source_cut],
        learnt.bridge,
        learnt.tail,
        learnt.head,
        temperature=learnt.calibration.temperature,
        bias=learnt.calibration.bias,
    )


def _expected(learnt: Learnt, pairs: list[Pair]) -> tuple[spec.Expect, ...]:
    """Measure what the source sensor gave of the people that were trained on."""
    side, people = learnt.recipe.source, learnt.prepared.people
    worn = [
        as_worn(pair.source, side.sensor)
        for pair in pairs
        if pair.person in (*people.head, *people.pair)
    ]
    return expectations(worn, side.sensor.input, stream_of(side), window_of(side))


def _golden_signal(learnt: Learnt, pairs: list[Pair]) -> tuple[Samples, npt.NDArray[np.float32]]:
    """Take short stretches of pair people's recordings, and cut them as the device does."""
    side = learnt.recipe.source
    about, stream, window = side.sensor.input, stream_of(side), window_of(side)
    pieces: list[Samples] = []
    cuts: list[npt.NDArray[np.float32]] = []
    needed = samples_needed(about, stream, window, windows=WINDOWS_PER_PIECE)
    members = [pair for pair in pairs if pair.person in learnt.prepared.people.pair]
    for pair in members:
        worn = as_worn(pair.source, side.sensor).samples
        start = _unbroken(worn, needed)
        if start is None:
            continue
        piece = worn[:, start : start + needed]
        found = WindowStream(about, stream, window).push(Chunk(piece, 0, about.rate))
        pieces.append(piece)
        cuts.extend(one.samples for one in found)
        if len(pieces) == PIECES:
            break
    if not pieces:
        raise ExportError(
            f"no recording of {', '.join(learnt.prepared.people.pair)} has an unbroken stretch "
            f"of {WINDOWS_PER_PIECE} windows to prove the export with; nothing was written"
        )
    return np.stack(pieces), np.stack(cuts)


def _unbroken(samples: Samples, needed: int) -> int | None:
    """Find the first run of real samples of that length, from the middle on."""
    real = np.isfinite(samples).all(axis=0)
    for start in (
        *range(len(real) // 2, len(real) - needed + 1, 64),
        *range(0, len(real) // 2, 64),
    ):
        if real[start : start + needed].all() and start + needed <= len(real):
            return start
    return None


def _made_by(learnt: Learnt, scores: list[Score]) -> manifest.MadeBy:
    """State where everything comes from."""
    recipe, prepared = learnt.recipe, learnt.prepared
    licences = [
        _licence(side, chain, model)
        for side, chain, model in (
            ("source", learnt.source, recipe.source.model),
            ("target", learnt.target, recipe.target.model),
        )
    ]
    licences.append(
        manifest.Licence(
            part="data", licence=recipe.data.licence, non_commercial=recipe.data.non_commercial
        )
    )
    bridge = learnt.bridge
    return manifest.MadeBy(
        bioxedge=__version__,
        versions={name: version(name) for name in ("torch", "onnx", "numpy", "scipy")},
        source=_part(learnt.source, learnt.source_cut, recipe.source.model),
        target=_part(learnt.target, learnt.target_cut, recipe.target.model),
        bridge=manifest.BridgePart(
            in_features=bridge.in_features,
            out_features=bridge.out_features,
            tokens=bridge.tokens,
            rank=bridge.rank,
            prototypes=len(bridge.prototypes),
            trained_parameters=trained_parameters(bridge),
        ),
        data=manifest.DataPart(
            name=recipe.data.folder or recipe.data.dataset,
            split={name: getattr(prepared.people, name) for name in ("head", "pair", "test")},
            seed=recipe.seed,
        ),
        metrics=_metrics(learnt, scores),
        licences=tuple(licences),
        non_commercial=any(licence.non_commercial for licence in licences),
    )


def _metrics(learnt: Learnt, scores: list[Score]) -> dict[str, dict[str, float]]:
    """Scores on test people, and what the calibration was chosen by on held-out pair people."""
    found = {
        score.method: {"balanced_accuracy": score.balanced_accuracy, "macro_f1": score.macro_f1}
        for score in scores
    }
    for name, figures in learnt.calibration.held_out.items():
        found[f"held-out pairs, {name}"] = figures
    return found


def _part(chain: Chain, cut: int, wanted: Model) -> manifest.ModelPart:
    """Describe one model."""
    return manifest.ModelPart(
        model=chain.name,
        cut=cut,
        blocks=len(chain),
        checkpoint=wanted.checkpoint if wanted.checkpoint != "pretrain" else PRETRAINED,
        checkpoint_sha256=chain.sha256 or weights_sha256(chain),
        parameters=sum(parameter.numel() for parameter in chain.parameters()),
    )


def weights_sha256(chain: Chain) -> str:
    """Hash the weights of a chain that was trained here and has no file of its own."""
    digest = hashlib.sha256()
    for name, value in sorted(chain.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _licence(side: str, chain: Chain, wanted: Model) -> manifest.Licence:
    """State the licence of one model's weights."""
    if wanted.checkpoint == "pretrain":
        return manifest.Licence(part=side, licence=f"{PRETRAINED}, from the data")
    return manifest.Licence(
        part=side,
        licence=wanted.licence or chain.licence,
        non_commercial=wanted.non_commercial,
    )
