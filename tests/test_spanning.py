"""What a bridge imitates over a span: the recording around a pair, and nothing else changes."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", exc_type=ImportError)

from test_study import RECIPE

from bioxedge import recipes
from bioxedge.building import started
from bioxedge.building.aligning import wanted_of
from bioxedge.building.seen import see
from bioxedge.building.spanning import over_span
from bioxedge.errors import RecipeError

pytestmark = pytest.mark.train


@given(
    starts=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), min_size=1, max_size=30),
    seconds=st.sampled_from([1.0, 8.0, 15.0, 1000.0]),
    seed=st.integers(0, 99),
)
def test_a_mean_is_over_its_own_recording_around_it(starts, seconds: float, seed: int) -> None:
    session, start = (np.array(one) for one in zip(*starts, strict=True))
    start = start * 0.5
    values = torch.from_numpy(np.random.default_rng(seed).normal(size=(len(start), 3)))
    found = over_span(values.float(), session, start, seconds)
    near = (session[:, None] == session) & (np.abs(start[:, None] - start) <= seconds / 2)
    wanted = np.stack([values.float().double().numpy()[own].mean(axis=0) for own in near])
    assert found.dtype == torch.float32 and np.allclose(found.numpy(), wanted, atol=1e-6)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory):
    """The same recipe as it is and with a span, both seen by the same models."""
    folder = tmp_path_factory.mktemp("span")
    path = folder / "toy.toml"
    path.write_text(RECIPE.replace("target_cut = 1", 'target_cut = "head"'))
    found = []
    for changes in ((), ("bridge.span=12.0",)):
        with started(path, folder / "out", None, None, None, None, changes) as work:
            seen = see(work.recipe, work.prepare(), work.store, work.base, work.models)
            found.append((seen, wanted_of(seen, work.store, len(seen.target))))
    return found


def test_what_is_imitated_and_its_answers_are_means_over_the_pairs_around(both) -> None:
    (plain, alone), (spanned, wanted) = both
    windows, pairs = plain.prepared.windows, plain.prepared.of("pair")
    mean = over_span(alone[:, 0], windows.session[pairs], windows.start[pairs], 12.0)
    assert torch.equal(wanted[:, 0], mean) and not torch.equal(wanted, alone)
    assert torch.equal(spanned.teacher("pair"), spanned.head.of_pooled(mean))
    assert plain.key != spanned.key


def test_nobody_who_is_tested_and_no_source_is_averaged(both) -> None:
    """A device sees one window at a time: what it is tested by does, too."""
    (plain, _), (spanned, _) = both
    for group in ("head", "test"):
        assert torch.equal(spanned.teacher(group), plain.teacher(group))
    for cut in range(plain.cuts + 1):
        for group in ("pair", "test"):
            assert torch.equal(
                spanned.pooled("source", cut, group), plain.pooled("source", cut, group)
            )


def test_tokens_have_no_mean_over_windows(tmp_path: Path) -> None:
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE + 'span = 12.0\nover = "tokens"\n')
    with pytest.raises(RecipeError, match=r"over = \"mean\", or span = 0 - at `\$\.bridge\.span`"):
        recipes.read(path)
    path.write_text(RECIPE + "span = -1.0\n")
    with pytest.raises(RecipeError, match=r"\$\.bridge\.span"):
        recipes.read(path)
