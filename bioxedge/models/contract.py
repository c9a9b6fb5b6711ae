"""What is said of a foundation model: its sizes, what it must be fed, on what terms it is.

Nothing here needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from bioxedge import spec
from bioxedge.errors import ModelError
from bioxedge.models.reference import Step

NOT_STATED = "not stated"

# A ratio of rates with greater terms is a slip, not a sensor.
_LARGEST_TERM = 1000
# A filter's edge must stay clear of half the rate: beyond this share of the rate it is left out.
_USABLE = 0.475


@dataclass(frozen=True)
class Size:
    """One published size.

    Attributes
    ----------
    name : str
    blocks : int
    features : str
        At the cuts, for people.
    millions : float
        Parameters of the model as published, heads and decoders left out.
    options : mapping
        What `create` takes for it.
    """

    name: str
    blocks: int
    features: str
    millions: float
    options: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Contract:
    """What a model must be fed, as published (``reference``) and on a device (``streaming``).

    Attributes
    ----------
    modality : str
    rate : float
        In Hz, of the windows; 0 where it is not stated.
    unit : str
        ``uV``, or ``1`` where windows are standardised or ranked; empty where it is not stated.
    scale : str
        What the graph does to the unit, for people; empty for nothing.
    channels : tuple of str
        Names in the order that the published weights expect; empty where one channel of any
        name serves.
    by_name : str
        The option of `create` that takes the channels' names, in any order and any choice;
        empty where their order alone counts.
    shortest, longest, multiple : int
        Window lengths that it accepts, in samples; ``longest`` is 0 where there is no bound.
    windows : str
        The same for people, with what was published.
    reference : tuple of Step
        Published preprocessing of a recording, exactly; not causal.
    filters : tuple of spec.Filter
        Their causal stand-ins, at ``rate``.
    then : tuple of spec.WindowStage
        On each window, in the streaming form.
    """

    modality: str = "any"
    rate: float = 0.0
    unit: str = ""
    scale: str = ""
    channels: tuple[str, ...] = ()
    by_name: str = ""
    shortest: int = 1
    longest: int = 0
    multiple: int = 1
    windows: str = ""
    reference: tuple[Step, ...] = ()
    filters: tuple[spec.Filter, ...] = ()
    then: tuple[spec.WindowStage, ...] = ()

    def streaming(self, rate: float) -> tuple[tuple[spec.Stage, ...], tuple[spec.WindowStage, ...]]:
        """Give what a device computes from a sensor: causal stages, then stages on a window.

        Rational polyphase resampling where the rates differ, then the filters with carried
        state. An edge at or beyond what the sensor can hold is left out: it has nothing there.

        Parameters
        ----------
        rate : float
            The sensor's, in Hz.

        Raises
        ------
        ModelError
            A ratio of rates that is not one of small whole numbers, a sensor too slow for
            the model's band, or a card without a rate.
        """
        if not self.rate:
            raise ModelError(
                "what this model is fed is not known where the recipe is read: write stages and "
                "then out"
            )
        stages: list[spec.Stage] = []
        if rate != self.rate:
            ratio = (Fraction(self.rate) / Fraction(rate)).limit_denominator(_LARGEST_TERM)
            exact = math.isclose(float(ratio) * rate, self.rate, rel_tol=1e-9)
            if not exact or max(ratio.numerator, ratio.denominator) > _LARGEST_TERM:
                raise ModelError(
                    f"a sensor at {rate:g} Hz cannot be brought to {self.rate:g} Hz: the ratio "
                    f"must be one of whole numbers up to {_LARGEST_TERM}; state the stages"
                )
            stages.append(spec.Resample(up=ratio.numerator, down=ratio.denominator))
        stages += [_held(each, min(rate, self.rate)) for each in self.filters]
        return tuple(stages), self.then


def _held(stage: spec.Filter, rate: float) -> spec.Filter:
    """Leave out the upper edge of a band-pass that lies beyond what the rate can hold."""
    low, *high = stage.cutoff
    usable = _USABLE * rate
    if low >= usable:
        raise ModelError(
            f"a sensor at {rate:g} Hz holds nothing of a band from {low:g} Hz on: use a faster "
            "sensor or state the stages"
        )
    if not high or high[0] < usable:
        return stage
    return spec.Filter(design="butterworth", kind="highpass", cutoff=(low,), order=stage.order)


@dataclass(frozen=True)
class Card:
    """One foundation model; of one's own model all but the name may be left out.

    Attributes
    ----------
    name : str
        For `create` and `load`.
    title : str
        What its authors call it; the name where it is left out.
    paper : str
    origin : str
        Where its authors publish the weights.
    licence : str
        Of the weights: SPDX where there is one.
    non_commercial : bool
    sizes : tuple of Size
    contract : Contract
    target : bool
        A tail can run from tokens alone, so that it can be bridged to.
    """

    name: str
    title: str = ""
    paper: str = NOT_STATED
    origin: str = NOT_STATED
    licence: str = NOT_STATED
    sizes: tuple[Size, ...] = ()
    contract: Contract = Contract()
    non_commercial: bool = False
    target: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        contract = self.contract
        return {
            "name": self.name,
            "title": self.title,
            "paper": self.paper,
            "origin": self.origin,
            "licence": self.licence,
            "non_commercial": self.non_commercial,
            "roles": ["source", "target"] if self.target else ["source"],
            "sizes": [
                {
                    "name": size.name,
                    "blocks": size.blocks,
                    "features": size.features,
                    "million_parameters": size.millions,
                    "options": dict(size.options),
                }
                for size in self.sizes
            ],
            "input": {
                "modality": contract.modality,
                "rate": contract.rate or None,
                "unit": contract.unit or None,
                "scale": contract.scale,
                "channels": list(contract.channels),
                "by_name": bool(contract.by_name),
                "windows": {
                    "shortest": contract.shortest,
                    "longest": contract.longest or None,
                    "multiple": contract.multiple,
                    "about": contract.windows,
                },
                "reference": [f"{step}" for step in contract.reference],
                "streaming": [f"{stage}" for stage in (*contract.filters, *contract.then)],
            },
        }
