"""``golden.npz``: recorded input and the answers it must give. Nothing is ever unpickled."""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge import classic, spec
from bioxedge.errors import BundleError
from bioxedge.manifest import BESIDE, Manifest
from bioxedge.signals import Chunk
from bioxedge.windows import WindowStream


@dataclass(frozen=True)
class GoldenData:
    """Recorded input and the answers it must give.

    Attributes
    ----------
    raw : ndarray of float64, shape [pieces, channels, n]
        Input samples at the input rate; each piece is a stream of its own.
    windows : ndarray of float32, shape [windows, channels, length]
        What the pieces are cut into, in order.
    probabilities : ndarray of float32, shape [windows, labels]
        What the model answered where it was exported; of a value, [windows, 1] in its unit, and
        the file calls it ``values``; of several tasks, all their columns in the manifest's order.
    beside : ndarray of float32, shape [windows, numbers], or None
        What the graph was given beside each; None where it takes nothing.
    """

    raw: npt.NDArray[np.float64]
    windows: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]
    beside: npt.NDArray[np.float32] | None = None

    @property
    def answers(self) -> npt.NDArray[np.float32]:
        """The same, whatever it consists of."""
        return self.probabilities


def golden_classic(
    raw: npt.NDArray[np.float64],
    source: spec.Input,
    stream: spec.StreamSpec,
    window: spec.WindowSpec,
    features: spec.FeaturesSpec,
) -> npt.NDArray[np.float64]:
    """Compute the classic features of golden windows from the raw pieces.

    Returns
    -------
    ndarray of float64, shape [windows, classic features]
        NaN where a window does not allow one.
    """
    rows, breathing = [], classic.breathes(features.classic)
    for piece in raw:
        for one in WindowStream(source, stream, window).push(Chunk(piece, 0, source.rate)):
            first, last = classic.stretch(one.start, one.end)
            rows.append(
                classic.of_window(
                    piece[:, first:last], source.rate, source.modality, breathing=breathing
                )
                if features.classic
                else np.empty(0)
            )
    return np.stack(rows)


def pack(golden: GoldenData) -> bytes:
    """Give the content of ``golden.npz``."""
    file = io.BytesIO()
    raw, windows, probabilities = map(
        np.ascontiguousarray, (golden.raw, golden.windows, golden.probabilities)
    )
    arrays = {"raw": raw, "windows": windows, _answers(probabilities.shape[1]): probabilities}
    if golden.beside is not None:
        arrays[BESIDE] = np.ascontiguousarray(golden.beside)
    np.savez(file, **arrays)  # type: ignore[arg-type]  # its keywords are arrays, but for one
    return file.getvalue()


def _answers(numbers: int) -> str:
    """Name the answers by how many numbers each is: two or more, or one value."""
    return "probabilities" if numbers > 1 else "values"


def unpack(raw: bytes, manifest: Manifest) -> GoldenData:
    """Decode the golden arrays, after holding them to the manifest's shapes.

    Raises
    ------
    BundleError
        Anything that :func:`pack` would not have written.
    """
    name = manifest.golden.file
    count, numbers = manifest.golden.windows, manifest.answers
    named = _answers(numbers)
    shapes: dict[str, tuple[tuple[int | None, ...], type]] = {
        "raw": ((None, len(manifest.input.channels), None), np.float64),
        "windows": ((count, *manifest.variant().input.shape[1:]), np.float32),
        named: ((count, numbers), np.float32),
    }
    features = manifest.features
    if features is not None and features.beside:
        shapes[BESIDE] = ((count, features.beside), np.float32)
    found: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = archive.infolist()
            held = [member.filename for member in members]
            if sorted(held) != sorted(f"{key}.npy" for key in shapes):
                raise BundleError(f"{name} holds {', '.join(held)}, not the golden arrays")
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise BundleError(f"{name} is compressed, which golden arrays never are")
            for key, (shape, kind) in shapes.items():
                found[key] = _array(archive.read(f"{key}.npy"), f"{name}: {key}", shape, kind)
    except BundleError:
        raise
    except Exception as error:  # zipfile and NumPy fail in a dozen ways on bytes like these
        raise BundleError(f"{name} cannot be read: {error}") from error
    return GoldenData(found["raw"], found["windows"], found[named], found.get(BESIDE))


def _array(
    content: bytes, where: str, shape: tuple[int | None, ...], kind: type
) -> npt.NDArray[Any]:
    """Decode one array in NumPy's format; nothing is allocated from what its header claims."""
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise BundleError(f"{where} is not in version 1.0 of NumPy's format")
    declared, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    fits = len(declared) == len(shape) and all(
        want in (None, have) for want, have in zip(shape, declared, strict=True)
    )
    if not fits or dtype != kind or fortran:
        raise BundleError(
            f"{where} is {dtype}{list(declared)}, not {np.dtype(kind)}{[n or 'n' for n in shape]}"
        )
    body = content[file.tell() :]
    if len(body) != math.prod(declared) * dtype.itemsize:
        raise BundleError(f"{where} has {len(body)} bytes, which do not fill {list(declared)}")
    array: npt.NDArray[Any] = np.frombuffer(body, dtype).reshape(declared).copy()
    if not np.isfinite(array).all():
        raise BundleError(f"{where} holds values that are not finite")
    return array
