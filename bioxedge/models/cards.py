"""What each foundation model is and what it must be fed: one frozen card for each, no torch.

A card is the only place where a model's rate, unit, channels, window lengths, licence and
address stand. Sources: the models' papers and repositories, and Li et al., *BioX-Bridge*,
ICLR 2026, for how the bridging experiments fed them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bioxedge import spec
from bioxedge.errors import ModelError
from bioxedge.models.contract import NOT_STATED, Card, Contract, Size
from bioxedge.models.reference import (
    ForwardBackwardChebyshev,
    ForwardBackwardFIR,
    Fourier,
    Linear,
    Ranks,
    Standardise,
)

__all__ = [
    "CARDS", "NOT_STATED", "TUH_ELECTRODES", "TWELVE_LEADS", "Card", "Contract", "Size", "card",
    "own", "remember",
]  # fmt: skip

TWELVE_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

# The order in which CBraMod's authors take the recordings of the Temple University Hospital.
TUH_ELECTRODES = (
    "FP1", "FP2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2",
    "F7", "F8", "T3", "T4", "T5", "T6", "FZ", "CZ", "PZ",
)  # fmt: skip


def _band(low: float, high: float, *, order: int = 2) -> spec.Filter:
    return spec.Filter(design="butterworth", kind="bandpass", cutoff=(low, high), order=order)


_ZSCORE = (spec.ZScore(),)
_HUBERT_FILTER = ForwardBackwardFIR(0.05, 47.0, taps=151, pad=453)

_CARDS = (
    Card(
        name="cbramod",
        title="CBraMod",
        paper="Wang et al., ICLR 2025",
        origin="huggingface.co/weighting666/CBraMod, pretrained_weights.pth",
        licence="MIT",
        sizes=(Size("base", 12, "200", 4.9),),
        contract=Contract(
            modality="eeg",
            rate=200.0,
            unit="uV",
            scale="µV / 100, cut into seconds",
            channels=TUH_ELECTRODES,
            shortest=200,
            multiple=200,
            windows="whole seconds, of any number of electrodes; pretrained on 30 s of these 19",
            filters=(_band(0.3, 75.0),),
        ),
    ),
    Card(
        name="ecg_dualnet",
        title="ECG-DualNet++ XL",
        paper="Rohr et al., Physiological Measurement 2022",
        origin="github.com/ChristophReich1996/ECG_Classification",
        licence="MIT",
        sizes=(Size("XL", 5, "128, 256, 512, 512, 256", 8.2),),
        contract=Contract(
            modality="ecg",
            rate=300.0,
            unit="1",
            scale="log spectrogram and frames of the signal",
            shortest=18_000,
            longest=18_000,
            windows="60 s, no other",
            reference=(Linear(500.0), _HUBERT_FILTER, Linear(300.0), Standardise()),
            filters=(_band(0.05, 47.0),),
            then=_ZSCORE,
        ),
        target=False,
    ),
    Card(
        name="ecg_fm",
        title="ECG-FM",
        paper="McKeen et al., arXiv 2408.05178",
        origin="huggingface.co/wanglab/ecg-fm-preprint",
        licence="MIT",
        sizes=(Size("base", 12, "768", 90.9),),
        contract=Contract(
            modality="ecg",
            rate=500.0,
            unit="1",
            scale="missing leads are zero, or repeats of a single one",
            channels=TWELVE_LEADS,
            by_name="leads",
            shortest=16,
            windows="any from 16 samples on; pretrained on 5 s",
            reference=(Linear(500.0), Standardise()),
            then=_ZSCORE,
        ),
    ),
    Card(
        name="ecg_transformer",
        title="a small ECG transformer",
        paper="after Dosovitskiy et al., ICLR 2021",
        origin="trained by bioxedge",
        licence="Apache-2.0",
        sizes=(Size("small", 4, "64", 0.14),),
        contract=Contract(
            modality="ecg",
            rate=125.0,
            unit="1",
            windows="the length that it was created for; 1250 samples by default",
            filters=(_band(0.5, 40.0),),
            then=_ZSCORE,
        ),
    ),
    Card(
        name="hubert_ecg",
        title="HuBERT-ECG",
        paper="Coppola et al., medRxiv 2024.11.14.24317328",
        origin="huggingface.co/Edoardo-BS/HuBERT-ECG-SSL-Pretrained",
        licence="CC-BY-NC-4.0",
        non_commercial=True,
        sizes=(
            Size("small", 8, "512", 30.2),
            Size("base", 12, "768", 93.0, {"width": 768, "blocks": 12, "heads": 12, "inner": 3072}),
            Size(
                "large", 16, "960", 188.0, {"width": 960, "blocks": 16, "heads": 16, "inner": 3840}
            ),
        ),
        contract=Contract(
            modality="ecg",
            rate=100.0,
            unit="1",
            scale="several leads are joined in time",
            channels=TWELVE_LEADS,
            shortest=82,
            windows="any from 82 samples on (joined leads count together); pretrained on 5 s "
            "of 12 leads, bridged with 30 s and 60 s of one",
            reference=(Linear(500.0), _HUBERT_FILTER, Linear(100.0), Standardise()),
            filters=(_band(0.05, 47.0),),
            then=_ZSCORE,
        ),
    ),
    Card(
        name="labram",
        title="LaBraM base",
        paper="Jiang, Zhao and Lu, ICLR 2024",
        origin="github.com/935963004/LaBraM, checkpoints/labram-base.pth",
        licence="MIT",
        sizes=(Size("base", 12, "200", 5.8),),
        contract=Contract(
            modality="eeg",
            rate=200.0,
            unit="uV",
            scale="µV / 100, cut into seconds",
            channels=("F3", "C3", "O1", "F4", "C4", "O2"),
            by_name="electrodes",
            shortest=200,
            longest=3200,
            multiple=200,
            windows="whole seconds up to the time table's rows: 16 as published, 30 where "
            "loaded with seconds=30",
            filters=(_band(0.1, 75.0),),
        ),
    ),
    Card(
        name="normwear",
        title="NormWear",
        paper="Luo et al., arXiv 2412.09758",
        origin="github.com/Mobile-Sensing-and-UbiComp-Laboratory/NormWear, release v1.0.0-alpha",
        licence="Apache-2.0",
        sizes=(Size("base", 12, "768", 128.0),),
        contract=Contract(
            modality="emg",
            rate=130.0,
            unit="1",
            scale="two differences, wavelet scalogram",
            shortest=11,
            windows="any from 11 samples on; 390 fill the position table exactly",
            reference=(Linear(130.0), Standardise()),
            then=_ZSCORE,
        ),
    ),
    Card(
        name="openecg",
        title="OpenECG codec v6",
        paper="the codec inside the package openecg",
        origin="pip install openecg",
        licence="Apache-2.0",
        sizes=(Size("v6", 8, "128", 1.16),),
        contract=Contract(
            modality="ecg",
            rate=500.0,
            unit="1",
            shortest=10,
            longest=5129,
            windows="up to 512 tokens of 10 samples; 10 s as published",
            reference=(Ranks(),),
            filters=(_band(0.5, 40.0),),
            then=(spec.Rank(),),
        ),
    ),
    Card(
        name="papagei",
        title="PaPaGei-S",
        paper="Pillai et al., ICLR 2025",
        origin="zenodo.org/records/13983110, papagei_s.pt",
        licence="BSD-3-Clause",
        sizes=(Size("S", 18, "32 → 512", 5.8),),
        contract=Contract(
            modality="ppg",
            rate=125.0,
            unit="1",
            windows="any; pretrained on 10 s, bridged with 60 s",
            reference=(
                Fourier(125.0),
                ForwardBackwardChebyshev(0.5, 12.0, order=4, ripple=0.5, pad=27),
                Standardise(),
            ),
            filters=(
                spec.Filter(
                    design="chebyshev1", kind="bandpass", cutoff=(0.5, 12.0), order=4, ripple=0.5
                ),
            ),
            then=_ZSCORE,
        ),
    ),
)

CARDS: Mapping[str, Card] = MappingProxyType({each.name: each for each in _CARDS})
"""Every card by its model's name, in alphabetical order."""


_OWN: dict[str, Card] = {}


def remember(card: Card) -> None:
    """Let `card` find a model that is not one of ours, by its name."""
    _OWN[card.name] = card


def own(name: str) -> bool:
    """Say whether a name is that of a function in somebody's module: ``package.module:function``.

    What stands there is known only once the module is imported, which `card` never does.
    """
    module, colon, function = name.partition(":")
    parts = (*module.split("."), function)
    return bool(colon) and all(part.isidentifier() for part in parts)


def card(name: str) -> Card:
    """Find a model's card; an unknown name is a ModelError that lists the known ones.

    Of ``package.module:function`` this is a card that states nothing, since nothing is imported
    here; `bioxedge.models.card` imports it and gives its own.
    """
    if name in CARDS:
        return CARDS[name]
    if name in _OWN:
        return _OWN[name]
    if own(name):
        return Card(name, title=name)
    raise ModelError(
        f"no model is called {name!r}: choose one of {', '.join((*CARDS, *_OWN))}, or name a "
        "function of yours as package.module:function"
    )
