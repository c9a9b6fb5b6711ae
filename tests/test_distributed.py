"""Two processes do what one does: the same features, the same bridge, the same bundle."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from rich.console import Console
from torch import Tensor

from bioxedge.bridging.world import ALONE, World, world
from bioxedge.building import build

pytestmark = pytest.mark.train


def torchrun(*words: str, processes: int, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in several processes of one thread each, over loopback; or in one alone."""
    several = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
    command = [sys.executable, *(several if processes > 1 else ()), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=240
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done


PROGRAM = """
    import sys
    from pathlib import Path

    import torch

    from bioxedge import models
    from bioxedge.bridging import PrototypeBridge
    from bioxedge.bridging.losses import LOSSES
    from bioxedge.bridging.runner import Runner
    from bioxedge.bridging.train import Training, train_bridge
    from bioxedge.bridging.world import joined

    out = Path(sys.argv[1])
    torch.manual_seed(0)
    source = models.create("papagei", base_filters=4, blocks=4).freeze()
    target = models.create("ecg_transformer", samples=320, width=16, blocks=2, heads=2).freeze()
    windows = torch.randn(150, 1, 320, generator=torch.Generator().manual_seed(1))
    with joined() as world:
        runner = Runner(world=world)
        mine = runner.features(source, windows, folder=out / "source")
        theirs = runner.features(target, windows, tokens=[2], folder=out / "target")
        kept = {}
        for loss in LOSSES:
            tokens, features = target.cut(1, 320)
            # What B starts from is what a gradient sees: nothing here is small by chance.
            bridge = PrototypeBridge(4, features, tokens, 2, 4, b_std=0.5, seed=0)
            # 130 trained pairs in batches of 15: shares of 8 and 7, and a last batch of 10.
            course = train_bridge(
                bridge, target[1:], mine.pooled[4], theirs.tokens[2],
                Training(loss=loss, over="tokens", epochs=3, batch=15, patience=3),
                seed=0, held_out=torch.arange(20), world=world,
            )
            kept[loss] = {**bridge.state_dict(), "course": vars(course)}
        if world.first:
            torch.save(
                {"pooled": [p.clone() for p in mine.pooled], "tokens": theirs.tokens[2].clone(),
                 "bridges": kept, "size": world.size},
                out / "result.pt",
            )
"""


def trained(folder: Path, processes: int) -> dict:
    folder.mkdir()
    program = folder / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    torchrun(str(program), str(folder), processes=processes, cwd=folder)
    return torch.load(folder / "result.pt", weights_only=True)


def off(found: Tensor, wanted: Tensor) -> float:
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = tmp_path_factory.mktemp("distributed")
    return [trained(folder / str(n), processes=n) for n in (1, 2)]


def test_features_are_shared_out_and_the_same(results: list[dict]) -> None:
    one, two = results
    assert (one["size"], two["size"]) == (1, 2)
    assert torch.equal(two["tokens"], one["tokens"])
    assert all(map(torch.equal, two["pooled"], one["pooled"]))


@pytest.mark.parametrize("loss", ["cosine", "centred_cosine", "mse", "mae", "infonce"])
def test_a_bridge_trained_by_several_is_that_of_one(results: list[dict], loss: str) -> None:
    one, two = (found["bridges"][loss] for found in results)
    for name in ("A", "B", "prototypes"):
        assert off(two[name], one[name]) <= 1e-5, name
    for part in ("losses", "held_out"):
        assert two["course"][part] == pytest.approx(one["course"][part], rel=1e-5)
    assert two["course"]["best"] == one["course"]["best"]
    losses = one["course"]["losses"]
    assert len(losses) == 3 and losses[0] != losses[-1]  # something was trained


@pytest.mark.timeout(600)
def test_a_build_by_two_is_the_build_of_one(tmp_path: Path) -> None:
    from test_building import RECIPE

    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.replace("epochs = 3", "epochs = 3\npatience = 2"))
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    one = build(recipe, alone, console=Console(quiet=True))
    assert one is not None
    words = ("-m", "bioxedge", "build", str(recipe), "--out", str(shared), "--json")
    done = torchrun(*words, processes=2, cwd=tmp_path)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == 1  # the first process speaks for all
    two = json.loads(lines[0])
    for score, other in zip(one.scores, two["scores"], strict=True):
        mine = score.to_dict()
        for took in ("seconds", "memory_mib", "window_ms"):  # two share the work
            mine.pop(took, None), other.pop(took, None)
        spans = [each.pop("calibration_interval", None) or () for each in (mine, other)]
        assert spans[0] == pytest.approx(spans[1], abs=1e-3)
        # The weights differ by rounding; a probability's distance from its bin does, too.
        assert mine.pop("calibration_error") == pytest.approx(other.pop("calibration_error"), 1e-3)
        assert mine == other
    assert (one.learnt.source_cut, one.learnt.target_cut) == (two["source_cut"], two["target_cut"])
    bridges = [
        torch.load(next((out / "steps").glob("bridge-*.pt")), weights_only=True)["bridge"]
        for out in (alone, shared)
    ]
    for name in ("A", "B", "prototypes"):
        assert off(bridges[1][name], bridges[0][name]) <= 1e-5
    names = [sorted(path.name for path in (out / "steps").iterdir()) for out in (alone, shared)]
    assert names[0] == names[1]


def test_alone_nothing_is_shared() -> None:
    assert world() == ALONE == World(0, 1)
    rows = torch.arange(7)
    assert ALONE.share(rows) is rows and ALONE.gathered(rows, 7) is rows
    assert ALONE.told("x") == "x" and ALONE.total(1.5, 2.0) == [1.5, 2.0]
    module = torch.nn.Linear(1, 1)
    assert ALONE.trained(module) is module and ALONE.first


@pytest.mark.parametrize(("count", "size"), [(10, 3), (2, 3), (1, 4), (9, 3)])
def test_shares_are_in_order_and_nobody_gets_a_row_twice(count: int, size: int) -> None:
    shares = [World(rank, size).share(torch.arange(count)) for rank in range(size)]
    assert torch.equal(torch.cat(shares), torch.arange(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
