"""Cards for people: a few lines for each model, or all that is known of one."""

from __future__ import annotations

from bioxedge import spec
from bioxedge.models.cards import NOT_STATED, Card, Contract, Size

_UNITS = {"": NOT_STATED, "uV": "µV", "1": "none (standardised or ranked)"}


def summary(card: Card) -> list[str]:
    """Say in lines what somebody who looks for a model must know."""
    contract = card.contract
    role = "" if card.target else "; as a source only"
    indent = " " * 17
    return [
        f"{card.name:<16} {_sensor(contract)}{role}",
        *(f"{indent}{_size(size)}" for size in card.sizes),
        f"{indent}{_licence(card)}",
        f"{indent}{card.origin}",
    ]


def details(card: Card) -> list[str]:
    """Say all of one card in lines."""
    contract = card.contract
    named = " (by name, in any order and choice)" if contract.by_name else " (in this order)"
    streaming = [_stage(stage) for stage in (*contract.filters, *contract.then)]
    lines = {
        "model": f"{card.name}: {card.title} ({card.paper})",
        "serves as": "source and target" if card.target else "source only",
        "sizes": "; ".join(_size(size) for size in card.sizes) or NOT_STATED,
        "sensor": _sensor(contract),
        "unit": _UNITS.get(contract.unit, contract.unit),
        "in the graph": contract.scale or "the signal as it is",
        "channels": ", ".join(contract.channels) + named if contract.channels else "any one",
        "windows": contract.windows or NOT_STATED,
        "reference": ", ".join(map(str, contract.reference)) or "only the rate",
        "streaming": ", ".join(["resampled where rates differ", *streaming]),
        "licence": _licence(card),
        "weights": card.origin,
    }
    return [f"{key:<13} {value}" for key, value in lines.items()]


def _sensor(contract: Contract) -> str:
    rate = f"{contract.rate:g} Hz" if contract.rate else f"a rate that is {NOT_STATED}"
    return f"{contract.modality.upper()} at {rate}"


def _size(size: Size) -> str:
    return f"{size.name}: {size.blocks} blocks of {size.features}, {size.millions:g} M parameters"


def _licence(card: Card) -> str:
    return card.licence + (" (non-commercial)" if card.non_commercial else "")


def _stage(stage: spec.Filter | spec.WindowStage) -> str:
    if isinstance(stage, spec.Filter):
        edges = " to ".join(f"{edge:g}" for edge in stage.cutoff)
        return f"{stage.design} {stage.kind} {edges} Hz of order {stage.order}"
    return "z-score of each window" if isinstance(stage, spec.ZScore) else "ranks of each window"
