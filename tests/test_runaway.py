"""A training that runs away stops there and says so; what the learning rate does meanwhile."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from torch import Tensor, nn

from bioxedge import models
from bioxedge.bridging import PrototypeBridge, loop
from bioxedge.bridging.baselines import Student, distil
from bioxedge.bridging.head import train_head
from bioxedge.bridging.loop import HeldOut, fit
from bioxedge.bridging.pretrain import pretrain
from bioxedge.bridging.train import Training, train_bridge
from bioxedge.errors import ModelError

pytestmark = pytest.mark.train

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
Y = X @ torch.randn(6, 2, generator=torch.Generator().manual_seed(1))


def encoder(name: str = "papagei", **options: int):
    torch.manual_seed(0)
    sizes = {
        "papagei": {"base_filters": 4, "blocks": 2},
        "ecg_transformer": {"samples": 320, "width": 16, "blocks": 2, "heads": 2},
    }
    return models.create(name, **{**sizes[name], **options}).freeze()


def bridge_of(tail, features: int) -> PrototypeBridge:
    tokens, width = tail.cut(1, 320)
    return PrototypeBridge(features, width, tokens, 2, 4, b_std=1.0, seed=0)


def head(rate: float, state: Path, x: Tensor) -> None:
    train_head(x, torch.arange(40) % 2, torch.ones(2), learning_rate=rate, seed=0, state=state)


def pretraining(rate: float, state: Path, x: Tensor) -> None:
    windows = x.repeat(1, 60)[:, None, :320]
    pretrain(
        encoder().thaw(), windows, rate=64.0, epochs=9, batch=8, learning_rate=rate, seed=0,
        state=state,
    )  # fmt: skip


def bridge(rate: float, state: Path, x: Tensor) -> None:
    tail = encoder("ecg_transformer")[1:]
    training = Training(loss="mse", learning_rate=rate, batch=8)
    train_bridge(bridge_of(tail, 6), tail, x, torch.randn(40, 1, 16), training, seed=0, state=state)


def student(rate: float, state: Path, x: Tensor) -> None:
    source, tail = encoder(), encoder("ecg_transformer")[1:]
    one = Student(source, bridge_of(tail, source.cut(source.last, 320).features), tail)
    training = Training(loss="mse", learning_rate=rate, batch=8)
    windows = x.repeat(1, 60)[:, None, :320]
    distil(one, windows, torch.randn(40, 1, 16), training, seed=0, state=state)


@pytest.mark.parametrize(
    ("train", "what"),
    [
        (head, "training the head"),
        (pretraining, "pretraining papagei"),
        (bridge, "training the bridge"),
        (student, "distilling"),
    ],
)
@pytest.mark.parametrize("why", ["rate", "values"])
def test_every_training_stops_where_its_loss_is_no_number(
    train: Callable[[float, Path, Tensor], None],
    what: str,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY", 0)
    spoilt = X.clone()
    spoilt[3] = math.nan
    rate, x = (1e30, X) if why == "rate" else (1e-3, spoilt)
    with pytest.raises(ModelError) as caught:
        train(rate, tmp_path / "state", x)
    said = str(caught.value)
    assert "\n" not in said and said.startswith(f"{what} ran away: its ")
    where = r"(loss is (nan|inf) in batch \d of|weights are not finite after) epoch [12],"
    rest = re.escape(f" at a learning rate of {rate:g}: lower learning_rate, or look for")
    assert re.search(where + rest, said), said
    assert not list(tmp_path.iterdir())


def regression(module: nn.Module, **options: object) -> list[float]:
    def loss(rows: Tensor, _: torch.Generator) -> Tensor:
        return (module(X[rows]) - Y[rows]).square().mean()

    settings = {"epochs": 4, "batch": 8, "rate": 1e-2, "seed": 0}
    return fit(module, loss, len(X), **{**settings, **options})


def test_a_loss_on_held_out_pairs_that_is_no_number_stops_it_too() -> None:
    watch = HeldOut(lambda: math.nan, patience=3)
    with pytest.raises(ModelError, match="its loss is nan on held-out pairs of epoch 1"):
        regression(nn.Linear(6, 2), held_out=watch)


def test_a_large_loss_that_is_a_number_goes_on() -> None:
    module = nn.Linear(6, 2)
    with torch.no_grad():
        module.weight.fill_(1e15)
    assert len(regression(module)) == 4


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_the_rate_falls_along_a_cosine_or_stays(schedule: str) -> None:
    torch.manual_seed(0)
    module, by_hand = nn.Linear(6, 2), nn.Linear(6, 2)
    by_hand.load_state_dict(module.state_dict())
    adam = torch.optim.AdamW(by_hand.parameters(), lr=1.0, weight_decay=0.0)
    for epoch in range(4):
        falls = 0.5 * (1 + math.cos(math.pi * epoch / 4))
        adam.param_groups[0]["lr"] = 1e-2 * (falls if schedule == "cosine" else 1)
        order = torch.randperm(40, generator=torch.Generator().manual_seed(epoch))
        for rows in order.split(8):
            adam.zero_grad()
            (by_hand(X[rows]) - Y[rows]).square().mean().backward()
            adam.step()
    regression(module, schedule=schedule)
    for mine, its in zip(module.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-6, atol=1e-7)


def test_it_falls_unless_it_is_told_to_stay() -> None:
    torch.manual_seed(0)
    one, other = nn.Linear(6, 2), nn.Linear(6, 2)
    other.load_state_dict(one.state_dict())
    assert regression(one) == regression(other, schedule="cosine")
    assert torch.equal(one.weight, other.weight)
    assert Training().schedule == "cosine"


PROGRAM = """
    import sys
    from pathlib import Path

    import torch

    from bioxedge.bridging.loop import fit
    from bioxedge.bridging.world import joined
    from bioxedge.errors import ModelError

    with joined() as world:
        torch.manual_seed(0)
        module = torch.nn.Linear(3, 1)
        averaged = world.trained(module)
        x = torch.ones(16, 3)
        x[9] = float("nan")  # one process alone meets it

        def loss(rows, _):
            mine = world.share(rows)
            value = averaged(x[mine]).square().mean()
            return world.scaled(value, len(mine), len(rows))

        try:
            fit(module, loss, 16, epochs=3, batch=4, rate=1e-3, seed=0, world=world)
        except ModelError as error:
            Path(f"said-{world.rank}").write_text(str(error))
        del averaged, loss  # as where a function has come to its end
"""


def test_of_several_processes_all_stop_together(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            str(program),
        ],
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=120, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    said = {(tmp_path / f"said-{rank}").read_text() for rank in (0, 1)}
    assert len(said) == 1 and "its loss is nan in batch" in said.pop()
