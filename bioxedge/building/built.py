"""What a build made, for whoever asked for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bioxedge.building import unshippable
from bioxedge.building.causal_price import Price
from bioxedge.building.evaluation import Evaluation
from bioxedge.building.learnt import Learnt
from bioxedge.building.shipping import AnyScore, Shipped
from bioxedge.bundle import Bundle
from bioxedge.errors import ExportError
from bioxedge.runtime import Report


@dataclass(frozen=True)
class Built:
    """What a build made.

    Attributes
    ----------
    shipped : Shipped or None
        The bundle, its proofs, the variants that were refused, and sizes by part; None where
        windows are such as no device can cut.
    learnt : Learnt
    found : Evaluation
        Everybody's answers on test people, their scores, and what they say in words.
    pictures : list of Path
    trained : list of Path
        What `bioxedge export` reads: bridge, head, and encoders that were pretrained; nothing
        where there is no bundle.
    price : Price or None
        What being causal costs, where that was to stand beside.
    others : dict of str to Evaluation
        Of each further task, by name.
    """

    shipped: Shipped | None
    learnt: Learnt
    found: Evaluation
    pictures: list[Path]
    trained: list[Path]
    price: Price | None = None
    others: dict[str, Evaluation] = field(default_factory=dict)

    @property
    def bundle(self) -> Bundle:
        """What a device takes; an ExportError where there is none."""
        return self._proven.bundle

    @property
    def _proven(self) -> Shipped:
        """What was shipped."""
        if self.shipped is None:
            raise ExportError(unshippable.told(self.learnt.recipe))
        return self.shipped

    @property
    def scores(self) -> list[AnyScore]:
        """On test people."""
        return self.found.scores

    @property
    def proof(self) -> Report:
        """The device's own code on the golden windows; an ExportError where there are none."""
        return self._proven.proof

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        shipped = self.shipped
        return (shipped.to_dict() if shipped else {"bundle": None}) | {
            "source_cut": self.learnt.source_cut,
            "target_cut": self.learnt.target_cut,
            "calibration": vars(self.learnt.calibration),
            "scores": [score.to_dict() for score in self.scores],
            "verdicts": self.found.verdicts,
            "proof": shipped and shipped.proof.to_dict(),
            "pictures": [str(path) for path in self.pictures],
            "trained": [str(path) for path in self.trained],
            "price": self.price and self.price.to_dict(),
        }
