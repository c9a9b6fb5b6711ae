"""Columns of tables: how sure answers are, rows of several, and what a method took."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import io
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures_bundle import onnx_model
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

torch = pytest.importorskip("torch", exc_type=ImportError)

from bioxedge import models
from bioxedge.bridging import values
from bioxedge.bridging.baselines import Aligned, distil, last_tokens
from bioxedge.bridging.evaluate import bootstrap, score, together
from bioxedge.bridging.spent import Spent
from bioxedge.bridging.sureness import calibration_errors
from bioxedge.bridging.train import Training
from bioxedge.building import tables, took
from bioxedge.errors import BundleError
from bioxedge.runtime.timed import milliseconds

pytestmark = pytest.mark.train

quick = settings(max_examples=25, deadline=None)


def sure_of(truth: np.ndarray, seed: int, sharpness: float = 1.0) -> np.ndarray:
    """Probabilities of a logistic model that knows half the truth."""
    rng = np.random.default_rng(seed)
    logit = sharpness * (2 * truth - 1 + 1.5 * rng.standard_normal(len(truth)))
    chance = 1 / (1 + np.exp(-logit))
    return np.stack([1 - chance, chance], axis=1)


# -- calibration error ----------------------------------------------------------------------


@quick
@given(seed=st.integers(0, 99), size=st.integers(2, 300))
def test_a_calibration_error_is_a_share_and_knows_no_order(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, size)
    given_ = sure_of(truth, seed)
    error, _ = calibration_errors(given_, truth)
    order = rng.permutation(size)
    assert 0 <= error <= 1
    assert calibration_errors(given_[order], truth[order])[0] == pytest.approx(error)
    # Never less than the mean sureness lies off, which is one bin for all.
    whole = abs(given_.max(1).mean() - (given_.argmax(1) == truth).mean())
    assert error >= whole - 1e-9


def test_bins_hold_as_many_windows_each_however_sure_all_are() -> None:
    """Of bins of equal width only one would be used, and both halves' errors would cancel."""
    right = np.tile([1, 1, 1, 0], 100)
    sure = np.concatenate([np.full(200, 0.91), np.full(200, 0.99)])
    right[:200], right[200:] = 1, np.tile([1, 1, 1, 1, 0], 40)
    given_ = np.stack([1 - sure, sure], axis=1)
    error, _ = calibration_errors(given_, right)
    assert error == pytest.approx(0.5 * 0.09 + 0.5 * 0.19)


@quick
@given(seed=st.integers(0, 30))
def test_the_draws_of_everybody_alike_say_what_all_windows_say(seed: int) -> None:
    truth = np.tile(np.random.default_rng(seed).integers(0, 2, 50), 4)
    given_ = np.tile(sure_of(truth[:50], seed), (4, 1))
    people = np.repeat(list("abcd"), 50)
    error, draws = calibration_errors(given_, truth, people, draws=20)
    assert draws == pytest.approx(np.full(20, error))


def test_an_overconfident_answer_has_an_interval_away_from_0() -> None:
    truth = np.random.default_rng(0).integers(0, 2, 1200)
    people = np.repeat([f"p{k}" for k in range(12)], 100)
    found = [
        score("x", truth, each.argmax(1), 2, 0, probabilities=each, people=people)
        for each in (sure_of(truth, 1, 0.9), sure_of(truth, 1, 8.0))
    ]
    calm, cocky = (one.calibration_interval for one in found)
    assert calm[1] < 0.1 and cocky[0] > 0.15
    for one in found:
        low, high = one.calibration_interval
        assert low <= one.calibration_error <= high


# -- rows of several ------------------------------------------------------------------------


def test_a_row_of_several_is_their_mean_with_the_interval_of_the_mean() -> None:
    truth = np.tile([0, 1], 300)
    people = np.repeat([f"p{k}" for k in range(6)], 100)
    answers = [sure_of(truth, seed).argmax(1) for seed in range(4)]
    each = [score(f"{k}", truth, one, 2, 7, people=people) for k, one in enumerate(answers)]
    found = together("four", each, bootstrap(truth, answers, people))
    reached = [one.balanced_accuracy for one in each]
    assert found.method == "four" and found.parameters == 7
    assert found.balanced_accuracy == pytest.approx(np.mean(reached))
    assert found.spread == (min(reached), max(reached))
    assert found.interval[0] <= found.balanced_accuracy <= found.interval[1]
    assert found.interval[1] - found.interval[0] <= max(
        one.interval[1] - one.interval[0] for one in each
    )
    assert found.to_dict()["spread"] == [min(reached), max(reached)]
    alone = together("one", each[:1], None)
    assert alone.spread is None and alone.interval is None


def test_a_row_of_several_values_is_their_mean() -> None:
    rng = np.random.default_rng(0)
    truth, people = 70 + rng.standard_normal(120), np.repeat(list("abcd"), 30)
    answers = [truth + size * rng.standard_normal(120) for size in (1.0, 3.0)]
    each = [values.score_value("x", truth, one, 0, people) for one in answers]
    found = values.together("x", each, values.errors(truth, answers, people))
    assert found.mean_error == pytest.approx(np.mean([one.mean_error for one in each]))
    assert found.spread == (each[0].mean_error, each[1].mean_error)
    assert found.interval[0] <= found.mean_error <= found.interval[1]
    json.dumps(found.to_dict(), allow_nan=False)


# -- what a method took ---------------------------------------------------------------------


def test_a_step_says_what_it_took_also_when_it_was_stopped_in_between(tmp_path: Path) -> None:
    path, state = tmp_path / "bridge.took", tmp_path / "bridge.state"

    def work(end: BaseException | None = None) -> None:
        with took.measured(path, state):
            time.sleep(0.05)
            if end is not None:
                raise end

    with pytest.raises(KeyboardInterrupt):
        work(KeyboardInterrupt())
    assert not path.exists()  # nothing is there that a later run goes on from
    state.touch()
    with pytest.raises(KeyboardInterrupt):
        work(KeyboardInterrupt())
    assert not took.read(path).done
    work()
    found = took.read(path)
    assert found.done and 0.1 <= found.seconds < 5
    state.unlink()
    work()
    assert took.read(path).seconds < 0.1
    path.write_text("{")
    assert took.read(path) is None


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux")
def test_memory_is_the_most_that_was_held_meanwhile(tmp_path: Path) -> None:
    def held(mib: int) -> float:
        with took.measured(tmp_path / "x.took", tmp_path / "x.state"):
            np.ones(mib * 2**17).sum()
        return took.read(tmp_path / "x.took").memory

    before, much, after = held(1), held(200), held(1)
    assert 150 < much - before < 260
    assert after < much - 150


def test_a_graph_is_timed_in_a_process_of_its_own() -> None:
    graph = onnx_model(np.zeros((3 * 400, 2), np.float32), np.zeros(2, np.float32), 3, 400)
    assert 0 < milliseconds(graph) < 50
    with pytest.raises(BundleError, match="1000 threads were asked for"):
        milliseconds(graph, threads=1000)
    with pytest.raises(BundleError, match="refuses model"):
        milliseconds(b"no graph")


def test_a_table_of_costs_has_what_is_known() -> None:
    truth, people = np.tile([0, 1], 60), np.repeat(list("abcd"), 30)
    one = score("bridge", truth, truth, 2, 1672, people=people)
    assert tables.costs([one]) is None
    told = replace(one, spent=Spent(74_112, 12.345, 612.0, 0.2462))
    file = io.StringIO()
    Console(file=file, width=120).print(tables.costs([told, replace(one, method="majority")]))
    for part in ("1,672", "74,112", "12.3", "612", "0.246", "pretrained here"):
        assert part in file.getvalue()
    assert "majority" not in file.getvalue()
    facts = told.to_dict()
    assert (facts["pretrained"], facts["seconds"]) == (74_112, 12.345)
    assert (facts["memory_mib"], facts["window_ms"]) == (612.0, 0.2462)


# -- contrastive distillation ---------------------------------------------------------------


def test_a_contrast_brings_windows_near_their_own_teachers_features() -> None:
    source = models.create("papagei", base_filters=4, blocks=2)
    rng = torch.Generator().manual_seed(0)
    rate = torch.rand(96, generator=rng) * 2 + 1
    windows = torch.sin(rate[:, None, None] * torch.arange(160) / 5)
    teacher = 5 + torch.stack([rate.cos(), rate.sin(), rate / 3], dim=1)[:, None]
    features = source.cut(source.last, 160).features
    one = Aligned(source, features, 3, seed=0)
    training = Training(loss="infonce", epochs=25, batch=32, learning_rate=1e-2)
    rows = torch.arange(64)
    losses = distil(one, windows, teacher[:64], training, seed=0, rows=rows)
    assert losses[-1] < 0.9 * losses[0]
    assert one.trained_parameters == sum(p.numel() for p in one.parameters())
    one.rescale(last_tokens(one, windows, rows), teacher[:64])
    found = last_tokens(one, windows, rows)
    assert torch.allclose(found.mean(0), teacher[:64].mean(0), atol=1e-3)
    size = (found - found.mean(0)).square().mean().sqrt()
    assert size == pytest.approx((teacher[:64] - teacher[:64].mean(0)).square().mean().sqrt())
    # People it never saw: nearer to their own teacher's feature than to the others'.
    there = last_tokens(one, windows, torch.arange(64, 96))[:, 0]
    near = torch.cdist(there, teacher[64:, 0])
    assert near.diagonal().median() < 0.7 * near.median()
