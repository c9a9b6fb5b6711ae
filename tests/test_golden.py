"""Reference activations: every chain against what its authors' own code computed.

The folder says which models, of which sizes: whatever ``golden/NAME.json`` describes is held
against the chain of that model, so other files of the same form need no other test.
"""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from safetensors.torch import load_file
from torch import Tensor

from bioxedge import models
from bioxedge.models.cards import card
from bioxedge.models.chain import Chain
from bioxedge.models.labram import ELECTRODES
from bioxedge.models.normwear import PATCH, Scalogram
from bioxedge.models.reference import ForwardBackwardFIR, Linear, prepare

pytestmark = [pytest.mark.train, pytest.mark.shared]

FOLDER = Path(
    os.environ.get("BIOXEDGE_SHARED", Path(__file__).resolve().parent.parent.parent / "shared")
)
FILES = sorted(
    path.with_suffix("")
    for path in (FOLDER / "golden").glob("*.json")
    if path.with_suffix(".activations.safetensors").is_file()
)
RELATIVE = 1e-5
About, Golden, Case = dict[str, Any], dict[str, Tensor], tuple[Chain, Tensor]


def labram(about: About, golden: Golden, path: Path) -> Case:
    """Microvolts by electrode; the authors' input is cut into seconds and divided by 100."""
    rows = about["input_chans"] or range(1 + golden["input"].shape[1])
    names = [ELECTRODES[row - 1] for row in rows if row]
    return models.load("labram", path, electrodes=names), 100 * golden["input"].flatten(2)


def hubert_ecg(about: About, golden: Golden, path: Path) -> Case:
    stored = about["config"]
    options = {"heads": stored["num_attention_heads"], "strides": stored["conv_stride"]}
    return models.load("hubert_ecg", path, **options), golden["input"][:, None]


def ecg_fm(about: About, golden: Golden, path: Path) -> Case:
    stored = about["config"]
    options = {
        "heads": stored["encoder_attention_heads"],
        "norm_first": stored["layer_norm_first"],
    }
    return models.load("ecg_fm", path, **options), golden["input"]


def papagei(about: About, golden: Golden, path: Path) -> Case:
    return models.load("papagei", path), golden["input"]


def normwear(about: About, golden: Golden, path: Path) -> Case:
    _, variables, _, _, scales = golden["input"].shape
    grid = tuple(size // patch for size, patch in zip(about["img_size"], PATCH, strict=True))
    chain = models.load(
        "normwear", path, channels=variables, heads=about["num_heads"], scales=scales, grid=grid
    )
    # The authors' input is the scalogram, which the chain makes itself (and another test holds).
    chain.stem.scalogram = torch.nn.Identity()
    return chain, golden["input"].flatten(0, 1)


READ: dict[str, Callable[..., tuple[Chain, Tensor]]] = {
    "LaBraM": labram, "HuBERT-ECG": hubert_ecg, "ECG-FM": ecg_fm, "PaPaGei-S": papagei,
    "NormWear": normwear,
}  # fmt: skip
# What the authors' code calls [batch, tokens, features], seen from theirs.
NATIVE: dict[str, Callable[[Tensor], Tensor]] = {
    "PaPaGei-S": lambda h: h.transpose(1, 2),
    "ECG-FM": lambda h: h.transpose(0, 1),
}


def name_of(about: dict[str, Any]) -> str:
    return str(about["model"]).partition(" ")[0]


@pytest.mark.parametrize("path", FILES or [FOLDER], ids=lambda path: path.name)
@torch.no_grad()
def test_every_block_is_as_its_authors_computed_it(shared: Path, path: Path) -> None:
    about = json.loads(path.with_suffix(".json").read_text())
    golden = load_file(path.with_suffix(".activations.safetensors"))
    name = name_of(about)
    chain, x = READ[name](about, golden, path.with_suffix(".weights.safetensors"))
    h = chain.layout.settle(chain.stem(x))
    names = ["embedded", *(f"block_{k:02d}" for k in range(len(chain)))]
    assert set(names) <= set(golden) and f"block_{len(chain):02d}" not in golden
    native = NATIVE.get(name, lambda h: h)
    for k, key in enumerate(names):
        if k:
            h = chain.layout.settle(chain.blocks[k - 1](h))
        ours = chain.layout.leave(h)
        wanted = native(golden[key]).reshape(ours.shape)
        assert (ours - wanted).abs().max() <= RELATIVE * wanted.abs().max(), key


@pytest.mark.parametrize("path", FILES or [FOLDER], ids=lambda path: path.name)
@torch.no_grad()
def test_every_cut_of_it_is_declared_and_joins_bitwise(shared: Path, path: Path) -> None:
    about = json.loads(path.with_suffix(".json").read_text())
    golden = load_file(path.with_suffix(".activations.safetensors"))
    chain, x = READ[name_of(about)](about, golden, path.with_suffix(".weights.safetensors"))
    if name_of(about) == "NormWear":  # its input here is no signal
        x = chain.layout.leave(chain.stem(x))
        chain = chain[0:]
    whole = chain(x)
    for k, h in enumerate(chain.activations(x)):
        assert h.shape[2] == chain.config.features(k)
        assert torch.equal(chain[:k](x) if k or chain.stem is not None else x, h)
        assert torch.equal(chain[k:](h.clone()), whole)


# -- what is done before the model --------------------------------------------------------------


@pytest.fixture(scope="module")
def minutes(shared: Path) -> dict[str, np.ndarray]:
    return dict(np.load(shared / "golden" / "preprocessing.npz"))


def close(found: np.ndarray, wanted: np.ndarray) -> bool:
    return bool(np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max())


def test_published_ecg_preprocessing_is_reproduced(minutes) -> None:
    once, rate = prepare([Linear(500.0)], minutes["ecg_700hz"], 700.0)
    assert rate == 500.0 and close(once[0], minutes["ecg_500hz"])
    filtered, _ = prepare(
        [ForwardBackwardFIR(0.05, 47.0, taps=151, pad=453)], minutes["ecg_500hz"], 500.0
    )
    assert close(filtered[0], minutes["ecg_500hz_filtered"])
    steps = card("hubert_ecg").contract.reference
    found, rate = prepare(steps, minutes["ecg_700hz"], 700.0)
    assert rate == card("hubert_ecg").contract.rate and close(
        found[0], minutes["ecg_100hz_normalised"]
    )


def test_published_ppg_preprocessing_is_reproduced(minutes) -> None:
    found, rate = prepare(card("papagei").contract.reference, minutes["bvp_64hz"], 64.0)
    assert rate == card("papagei").contract.rate and close(
        found[0], minutes["ppg_125hz_normalised"]
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_scalogram_is_reproduced_inside_the_graph(shared: Path, dtype: torch.dtype) -> None:
    golden = np.load(shared / "golden" / "scalogram.npz")
    scales = golden["output"].shape[-1]
    found = Scalogram(scales)(torch.from_numpy(golden["input"])[None].to(dtype)).numpy()
    for row in range(3):  # the signal and its differences, each against its own size
        assert close(found[:, row], golden["output"][:, row])
