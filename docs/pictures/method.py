"""Draw the method: `python docs/pictures/method.py` writes method.svg beside this file."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

BLUE, ORANGE, GREY, INK = "#1f6f9f", "#d9730d", "#c4c8cc", "#222222"


def box(ax, x, y, width, text, *, face, edge=INK, ink="white", height=0.62, style="solid"):
    """Draw one block of a chain."""
    shape = "round,pad=0.02,rounding_size=0.08"
    patch = FancyBboxPatch(
        (x, y - height / 2), width, height, boxstyle=shape, fc=face, ec=edge, lw=1.1, ls=style
    )
    ax.add_patch(patch)
    ax.text(x + width / 2, y, text, ha="center", va="center", color=ink, fontsize=9.5)


def arrow(ax, start, end, *, colour=INK, style="solid", curve=0.0):
    """Draw what flows."""
    ax.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, color=colour, lw=1.5, ls=style,
            connectionstyle=f"arc3,rad={curve}",
        )
    )  # fmt: skip


def chain(ax, y, colour, used, blocks, first):
    """Draw an encoder: blocks that are kept, blocks that the bundle leaves out."""
    for number in range(blocks):
        kept = number in used
        face = colour if kept else "white"
        ink, edge, style = ("white", colour, "solid") if kept else ("#777777", GREY, "dashed")
        label = str(number + 1)
        box(ax, first + number * 0.72, y, 0.54, label, face=face, edge=edge, ink=ink, style=style)


def draw() -> None:
    """Draw the figure."""
    pyplot.rcParams.update({"svg.hashsalt": "bioxedge", "font.family": "DejaVu Sans"})
    figure, ax = pyplot.subplots(figsize=(9.4, 4.5))
    ax.set_xlim(-0.1, 11.4)
    ax.set_ylim(-0.1, 5.3)
    ax.axis("off")

    top, low = 4.1, 1.3
    ax.text(0, 5.05, "the target's sensor, on the desktop: the teacher", fontsize=10.5, color=BLUE)
    box(ax, 0, top, 1.35, "ECG", face="white", edge=BLUE, ink=INK)
    chain(ax, top, BLUE, {3, 4, 5}, 6, 2.1)
    arrow(ax, (1.4, top), (2.05, top), colour=BLUE, style="dashed")
    box(ax, 7.2, top, 1.2, "mean of\ntokens", face=BLUE, edge=BLUE)
    box(ax, 8.9, top, 0.85, "head", face=BLUE, edge=BLUE)
    arrow(ax, (6.36, top), (7.15, top), colour=BLUE)
    arrow(ax, (8.44, top), (8.85, top), colour=BLUE)
    arrow(ax, (9.8, top), (10.3, top), colour=BLUE)
    ax.text(10.4, top, "stress\n84 %", va="center", fontsize=9.5, color=INK)
    ax.text(4.18, top + 0.55, "cut j", fontsize=9.5, ha="center", color=INK)
    ax.plot([4.18, 4.18], [top - 0.42, top + 0.42], color=INK, lw=1.2)

    ax.text(0, 0.25, "the source's sensor: what is worn", fontsize=10.5, color=ORANGE)
    box(ax, 0, low, 1.35, "PPG", face="white", edge=ORANGE, ink=INK)
    chain(ax, low, ORANGE, {0, 1, 2}, 5, 2.1)
    arrow(ax, (1.4, low), (2.05, low), colour=ORANGE)
    ax.text(4.18, low - 0.68, "cut i", fontsize=9.5, ha="center", color=INK)
    ax.plot([4.18, 4.18], [low - 0.42, low + 0.42], color=INK, lw=1.2)

    box(ax, 3.3, 2.72, 1.8, "bridge, trained", face="#5a3d8a", edge="#5a3d8a")
    arrow(ax, (4.18, low + 0.46), (4.18, 2.36), colour=ORANGE)
    arrow(ax, (4.18, 3.08), (4.36, top - 0.38), colour="#5a3d8a")
    note = (
        "Filled: what the bundle holds, frozen but for the bridge.\n"
        "Dashed: blocks that exist nowhere in it. The ECG is needed on\n"
        "the desktop alone: to teach the head, and then the bridge."
    )
    ax.text(5.75, 2.05, note, fontsize=9.2, va="center", color=INK, linespacing=1.5)
    figure.savefig(
        Path(__file__).with_suffix(".svg"), bbox_inches="tight", facecolor="white",
        metadata={"Date": None},
    )  # fmt: skip


if __name__ == "__main__":
    draw()
