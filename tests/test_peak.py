"""How much memory a pass takes, told by shapes alone, and how much there is."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from bioxedge import models
from bioxedge.bridging.peak import Allocated, free_bytes, peak_bytes

pytestmark = pytest.mark.train

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "samples", "options"),
    [
        ("papagei", 640, {"base_filters": 8, "blocks": 4}),
        ("ecg_transformer", 320, {"samples": 320, "width": 16, "blocks": 2, "heads": 2}),
        ("hubert_ecg", 2500, {}),
        ("labram", 1000, {}),
        ("openecg", 2500, {}),
    ],
)
def test_shapes_alone_tell_what_a_pass_allocates(name: str, samples: int, options: dict) -> None:
    chain = models.create(name, **options).freeze()
    with torch.inference_mode(), Allocated() as allocated:
        chain(torch.randn(4, chain.channels, samples))
    told = 4 * peak_bytes(chain, (1, chain.channels, samples))
    assert 0.7 * allocated.peak <= told <= 1.3 * allocated.peak


def test_what_is_released_does_not_count() -> None:
    with Allocated() as allocated:
        for _ in range(5):
            one = torch.zeros(1000)
            view = one[10:].view(2, -1)
        del one
        assert allocated.now == 4000  # held by the view
        del view
    assert allocated.now == 0 and allocated.peak == 8000


def test_free_memory_is_what_the_machine_or_a_bound_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 2**26 < free_bytes(CPU) < 2**45
    monkeypatch.setattr("bioxedge.bridging.peak._GROUPS", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.stat").write_text("anon 30000000\nfile 999999999\n")
    unbound = free_bytes(CPU)
    (tmp_path / "memory.max").write_text("50000000\n")
    assert free_bytes(CPU) == 20_000_000 < unbound
