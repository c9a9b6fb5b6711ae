"""Decisions: what each rule does on a sequence of windows, as a wearer would see it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fixtures_bundle import make_bundle

from bioxedge.bundle import Bundle
from bioxedge.decide import Decided, Decider
from bioxedge.errors import BundleError
from bioxedge.manifest import Decision

LABELS = ("rest", "stress")


def decided(windows: str, **rules: float) -> list[Decided | None]:
    """Decide on a sequence: a digit is stress's probability in tenths, ``-`` a skipped window."""
    decider = Decider(LABELS, Decision(**rules))
    found: list[Decided | None] = []
    for window in windows:
        if window == "-":
            decider.skip()
            found.append(None)
        else:
            stress = int(window) / 10
            found.append(decider.push(np.array([1 - stress, stress])))
    return found


def said(windows: str, **rules: float) -> str:
    """What is said: ``r``, ``s``, ``.`` where nothing is, and ``-`` where a window was skipped."""
    return "".join(
        "-" if one is None else "." if one.label is None else one.label[0]
        for one in decided(windows, **rules)
    )


def test_as_it_stands_the_likeliest_is_said() -> None:
    assert said("19-95-1") == "rs-sr-r"  # 5 is a tie: the first label
    assert [one.reason for one in decided("1958")] == [None] * 4


# -- threshold -----------------------------------------------------------------------------


def test_below_the_threshold_nothing_is_said_and_it_says_why() -> None:
    assert said("9641", threshold=0.7) == "s..r"
    assert decided("6", threshold=0.7)[0].reason == (  # type: ignore[union-attr]
        "unsure: stress has 0.60, at least 0.70 is needed"
    )


def test_reaching_the_threshold_is_enough() -> None:
    assert said("7", threshold=0.7) == "s"


# -- patience ------------------------------------------------------------------------------


def test_a_new_label_has_to_win_so_many_windows_in_a_row() -> None:
    assert said("111919991", patience=3) == "..rrrrrss"
    first = decided("11", patience=3)
    assert first[1].reason == "unsure: rest leads for 2 of 3 windows"  # type: ignore[union-attr]


def test_a_skipped_window_neither_confirms_nor_breaks_a_row() -> None:
    assert said("1119-99", patience=3) == "..rr-rs"
    assert said("1119--99", patience=3) == "..rr--rs"


def test_an_unsure_window_breaks_a_row() -> None:
    assert said("11195999", patience=3, threshold=0.8) == "..rr.rrs"


def test_a_label_is_forgotten_after_as_much_silence_as_would_replace_it() -> None:
    assert said("111--9", patience=3) == "..r--r"
    assert said("111---9", patience=3) == "..r---."
    assert said("111---111", patience=3) == "..r---rrr"  # rest's own row was never broken
    assert said("1115551", patience=3, threshold=0.8) == "..r...."  # an unsure window broke it


def test_patience_of_one_says_every_winner() -> None:
    assert said("1919", patience=1) == "rsrs"


# -- refractory ----------------------------------------------------------------------------


def test_after_a_change_there_is_no_other_for_so_many_windows() -> None:
    assert said("191999", refractory=2) == "rrrsss"
    assert said("19999", refractory=3) == "rrrrs"


def test_skipped_windows_pass_the_refractory_time() -> None:
    assert said("1-9", refractory=2) == "r-r"
    assert said("1--9", refractory=2) == "r--s"


def test_the_row_of_another_label_grows_while_it_must_wait() -> None:
    assert said("11999999", patience=2, refractory=4) == ".rrrrrss"


# -- smoothing -----------------------------------------------------------------------------


def test_smoothing_is_an_exponential_mean_with_that_time_constant() -> None:
    found = decided("0999999999", smoothing=4.0)
    for n, one in enumerate(found):
        assert one is not None and one.smoothed is not None
        assert one.smoothed[1] == pytest.approx(0.9 * (1 - np.exp(-n / 4.0)), abs=1e-12)
        assert one.smoothed.sum() == pytest.approx(1.0)


def test_one_odd_window_does_not_change_a_smoothed_label() -> None:
    assert said("11191111", smoothing=3.0) == "r" * 8
    assert said("1119999", smoothing=2.0).rstrip("s") == "rrrr"


def test_a_skipped_window_lets_the_past_weigh_less() -> None:
    beside, after = decided("09", smoothing=4.0), decided("0---9", smoothing=4.0)
    assert beside[1].smoothed[1] == pytest.approx(0.9 * (1 - np.exp(-1 / 4)))  # type: ignore[union-attr, index]
    assert after[4].smoothed[1] == pytest.approx(0.9 * (1 - np.exp(-4 / 4)))  # type: ignore[union-attr, index]


def test_the_threshold_holds_for_what_was_smoothed() -> None:
    assert said("09", smoothing=4.0, threshold=0.75) == "r" + "r"
    assert said("099", smoothing=4.0, threshold=0.75) == "rr."


def test_without_smoothing_nothing_smoothed_is_given() -> None:
    assert decided("5")[0].smoothed is None  # type: ignore[union-attr]


# -- what comes in -------------------------------------------------------------------------


def test_a_mapping_is_read_by_label_whatever_its_order() -> None:
    decider = Decider(LABELS, Decision())
    assert decider.push({"stress": 0.8, "rest": 0.2}).label == "stress"


@pytest.mark.parametrize(
    "answer",
    [np.array([0.2, 0.3, 0.5]), np.array([np.nan, 1.0]), np.array([[0.5, 0.5]]), {"rest": 1.0}],
)
def test_what_is_no_answer_is_refused(answer) -> None:
    with pytest.raises(BundleError, match="no probability for each of rest, stress"):
        Decider(LABELS, Decision()).push(answer)


def test_a_bundle_decides_as_its_manifest_says(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b", decision=Decision(patience=2, threshold=0.6))
    decider = Bundle.open(tmp_path / "b").decider()
    found = [decider.push(np.array([0.2, 0.8])).label for _ in range(2)]
    assert found == [None, "stress"]
