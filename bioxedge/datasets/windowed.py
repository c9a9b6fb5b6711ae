"""What a side of a recipe makes of its sensor: stages, windows, rates."""

from __future__ import annotations

from bioxedge import dsp, spec
from bioxedge.recipes import Recipe, Side


def stream_of(side: Side) -> spec.StreamSpec:
    """Describe a side's causal stages, warm-ups filled in."""
    stages = dsp.settle(side.streamed, side.sensor.input)
    return spec.StreamSpec(stages=stages, max_gap=side.max_gap)


def window_of(side: Side, hop: int = 0) -> spec.WindowSpec:
    """Describe a side's windows; ``hop`` in place of the recipe's."""
    return spec.WindowSpec(
        length=side.length, hop=hop or side.hop or side.length, then=side.finished
    )


def streamed_rate(side: Side) -> float:
    """Rate of a side's windows in Hz."""
    return dsp.Stages(side.streamed, side.sensor.input).rate


def hop_alone(recipe: Recipe) -> int:
    """By how many samples the target's windows follow each other where it was worn alone."""
    if recipe.target.hop:
        return recipe.target.hop
    seconds = recipe.source.hop / streamed_rate(recipe.source)
    return max(1, round(seconds * streamed_rate(recipe.target)))
