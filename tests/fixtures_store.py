"""A store of finished steps, and what it said."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from rich.console import Console

from bioxedge import models
from bioxedge.bridging.features import Features
from bioxedge.bridging.runner import Runner
from bioxedge.building.progress import Steps
from bioxedge.building.store import Store

KEY = "0123456789abcdef0123"


class Shelf:
    """A store and what it said."""

    def __init__(self, folder: Path) -> None:
        self.said = io.StringIO()
        self.folder = folder
        self.store = Store(folder, Steps(Console(file=self.said, width=200)))

    @property
    def lines(self) -> list[str]:
        """What was said, and nothing of a second time."""
        return [line.strip() for line in self.said.getvalue().splitlines()]

    def number(self, value: float = 1.0, size: int = 1000) -> bool:
        """Ask for a step; give whether it was made for it."""
        made = []

        def make(*_: object) -> dict:
            made.append(True)
            return {"x": torch.full((size,), value)}

        found = self.store.step("head", "The head", KEY, make)
        assert torch.equal(found["x"], torch.full((size,), value))
        return bool(made)

    def features(self) -> Features:
        """Ask for features of a small model."""
        torch.manual_seed(0)
        chain = models.create("papagei", base_filters=4, blocks=2).freeze()
        windows = torch.randn(70, 1, 320, generator=torch.Generator().manual_seed(1))

        def fill(report, folder: Path) -> Features:
            return Runner().features(chain, windows, tokens=[1], folder=folder, report=report)

        return self.store.folder("features", "Features", KEY, fill)
