"""Recipes: the shipped ones read, and every slip is one line that names the path."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from bioxedge import cli, recipes
from bioxedge.datasets.windowed import streamed_rate
from bioxedge.errors import RecipeError
from bioxedge.manifest import Decision
from bioxedge.models.cards import card
from bioxedge.recipes import Recipe, quality_in, section
from bioxedge.spec import QualitySpec

SHIPPED = sorted((Path(__file__).resolve().parent.parent / "export" / "recipes").glob("*.toml"))

PLAIN = """\
name = "plain"

[data]
dataset = "simulated"

[task]
channel = "class"
rule = "classes"
labels = ["rest", "stress"]

[source]
length = 640
hop = 128
stages = [{ stage = "filter", design = "butterworth", cutoff = [0.5, 8.0] }]

[source.sensor]
modality = "ppg"
column = "ppg_2"
channel = "ppg_2"
unit = "a.u."
rate = 64.0

[source.model]
name = "papagei"

[target]
length = 1250

[target.sensor]
modality = "ecg"
column = "II"
channel = "II"
unit = "mV"
rate = 125.0

[target.model]
name = "ecg_transformer"
"""


@pytest.fixture
def write(tmp_path: Path):
    """Write a recipe with some of its text replaced."""

    def make(*changes: tuple[str, str]) -> Path:
        text = PLAIN
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / "recipe.toml"
        path.write_text(text)
        return path

    return make


def test_there_are_recipes_to_start_from() -> None:
    assert len(SHIPPED) >= 3


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_reads(path: Path) -> None:
    recipe = recipes.read(path)
    assert recipe.name and all(data.licence != "not stated" for data in recipe.used)
    source, target = (side.length / streamed_rate(side) for side in (recipe.source, recipe.target))
    assert source == pytest.approx(target) and source in (3.0, 10.0, 20.0, 30.0, 60.0)


def test_what_is_left_out_has_a_default(write) -> None:
    recipe = recipes.read(write())
    assert recipe.split.folds == 5 and recipe.bridge.source_cut == "auto"
    assert recipe.source.model.checkpoint == "pretrain" and recipe.seed == 0


def test_a_recipe_written_out_reads_as_itself(write) -> None:
    recipe = recipes.read(write())
    assert msgspec.convert(msgspec.to_builtins(recipe), Recipe) == recipe


def test_what_is_left_to_the_model_is_written_out(write) -> None:
    path = write(
        ('stages = [{ stage = "filter", design = "butterworth", cutoff = [0.5, 8.0] }]',
         'stages = "model"\nthen = "model"'),
    )  # fmt: skip
    source = recipes.read(path).source
    assert [type(stage).__name__ for stage in source.stages] == ["Resample", "Filter"]
    assert (source.stages[0].up, source.stages[0].down) == (125, 64)
    assert source.then == card("papagei").contract.then
    assert recipes.read(path).target.stages == ()  # what the recipe says itself stands


def test_several_channels_are_lists_in_the_same_order(write) -> None:
    path = write(
        ('column = "ppg_2"\nchannel = "ppg_2"',
         'column = ["red", "ir"]\nchannel = ["ppg_1", "ppg_2"]'),
    )  # fmt: skip
    sensor = recipes.read(path).source.sensor
    assert sensor.columns == ("red", "ir")
    assert sensor.input.names == sensor.channels == ("ppg_1", "ppg_2")
    one = recipes.read(write()).source.sensor
    assert one.columns == one.channels == ("ppg_2",)


def test_the_sensors_that_count_as_the_same_reach_the_input(write) -> None:
    none = recipes.read(write()).source.sensor
    assert none.sensors == none.input.sensors == ()
    path = write(
        ("rate = 64.0",
         'rate = 64.0\nboard = "muse_2"\npreset = "ancillary"\n'
         'same_as = ["muse_2_bled/ancillary"]'),
    )  # fmt: skip
    sensor = recipes.read(path).source.sensor
    assert sensor.input.sensors == ("muse_2/ancillary", "muse_2_bled/ancillary")


def test_the_demos_sensor_is_named_as_a_live_one_is() -> None:
    brainflow = pytest.importorskip("bioxedge.runtime.sources.boards")
    for path in SHIPPED:
        for name in recipes.read(path).source.sensor.sensors:
            board, _, preset = name.partition("/")
            assert board in brainflow.board_names() and preset in ("default", "ancillary")


def test_a_decision_is_the_likeliest_unless_the_recipe_says_more(write) -> None:
    assert recipes.read(write()).decision == Decision()
    path = write(("[task]", "[decision]\nsmoothing = 4.0\npatience = 3\n\n[task]"))
    assert recipes.read(path).decision == Decision(smoothing=4.0, patience=3)


def test_bounds_of_quality_stand_in_place_of_the_modalitys(write) -> None:
    modality = QualitySpec(amplitude=False, contact_level=0.5)
    assert quality_in(recipes.read(write()), modality) == modality
    path = write(("[task]", '[quality]\nmin_real = 0.8\noff = ["noise"]\n\n[task]'))
    found = quality_in(recipes.read(path), modality)
    assert found == msgspec.structs.replace(modality, min_real=0.8, off=("noise",))


def test_sections_tell_choices_apart(write) -> None:
    one = recipes.read(write())
    other = recipes.read(write(("length = 640", "length = 641")))
    assert section(one.target, one.task) == section(other.target, other.task)
    assert section(one.source) != section(other.source)


FOREIGN = 'name = "papagei"\ncheckpoint = "papagei_s.pt"\n'
SHA256 = f'sha256 = "{"0a" * 32}"\n'

STREAMED = PLAIN[PLAIN.index("stages = [") : PLAIN.index("column =")]
SLIPS = {
    "a typo at the top": (("name =", "nam ="), "unknown field `nam` - at `$`"),
    "a typo in a section": (("labels =", "lables ="), "unknown field `lables` - at `$.task`"),
    "a typo in a section's name": (("[task]", "[tusk]"), "unknown field `tusk` - at `$`"),
    "a typo in a stage": (("cutoff", "cut"), "unknown field `cut` - at `$.source.stages[0]`"),
    "an unknown stage": (('"filter"', '"filtre"'), "`$.source.stages[0].stage`"),
    "a missing key": (('rule = "classes"\n', ""), "required field `rule` - at `$.task`"),
    "no recordings": (
        ('[data]\ndataset = "simulated"\n', ""),
        "nobody wore both sensors: name recordings of both in [data] or [[pairs]] - at `$.pairs`",
    ),
    "a unit that is none": (
        ('unit = "a.u."', 'unit = "furlong"'),
        "'furlong' is no unit that is known: write uV, mV, V, uS, g, degC, bpm … or a.u. - at "
        "`$.source.sensor.unit`",
    ),
    "no hop": (("hop = 128\n", ""), "by how many samples? - at `$.source.hop`"),
    "a value without a unit": (
        ('rule = "classes"\nlabels = ["rest", "stress"]', 'rule = "value"'),
        "a value needs the unit that it is said in - at `$.task.unit`",
    ),
    "a channel and marks": (
        ('channel = "class"', 'channel = "class"\nmarks = { rest = "rest" }'),
        "name the reference's channel, or say with marks which texts stand for which label - at "
        "`$.task.channel`",
    ),
    "marks for no label": (
        ('channel = "class"', 'marks = { calm = "rest" }'),
        "marks stand for calm, which is no label - at `$.task.marks`",
    ),
    "a licence that allows what the published one forbids": (
        (
            'name = "ecg_transformer"\n',
            'name = "hubert_ecg"\ncheckpoint = "hubert.pt"\nlicence = "MIT"\n'
            + f'sha256 = "{"0a" * 32}"\n',
        ),
        "hubert_ecg was published under CC-BY-NC-4.0, which forbids commercial use, the recipe "
        "says MIT: write the licence that the weights came with - at `$.target.model.licence`",
    ),
    "someone in two parts": (
        ("[task]", '[split]\nhead = ["a"]\ntest = ["a"]\n[task]'),
        "a would be in two parts - at `$.split`",
    ),
    "a ready head without a hash": (
        ("[task]", '[[teacher]]\nhead = "head.pt"\nlicence = "MIT"\n[task]'),
        "give its sha256 (sha256sum FILE) - at `$.teacher[0].sha256`",
    ),
    "a ready head on a model that is pretrained here": (
        (
            "[task]",
            '[[teacher]]\nhead = "head.pt"\nlicence = "MIT"\n' + f'sha256 = "{"0a" * 32}"\n[task]',
        ),
        "no head from outside knows its features: name the weights that the head was trained on - "
        "at `$.target.model.checkpoint`",
    ),
    "weights for other labels": (
        ("[task]", "[head]\nweights = [1.0, 2.0, 3.0]\n[task]"),
        "3 weights are given for 2 labels - at `$.head.weights`",
    ),
    "text for a number": (("length = 640", 'length = "640"'), "`$.source.length`"),
    "a fraction of a sample": (("length = 640", "length = 640.5"), "`$.source.length`"),
    "no sample": (("length = 640", "length = 0"), "`$.source.length`"),
    "a negative rate": (("rate = 64.0", "rate = -64.0"), "`$.source.sensor.rate`"),
    "an endless rate": (("rate = 64.0", "rate = inf"), "`$.source.sensor.rate`"),
    "no number": (("rate = 64.0", "rate = nan"), "`$.source.sensor.rate`"),
    "an endless cutoff": (("8.0]", "inf]"), "`$.source.stages[0].cutoff[1]`"),
    "one label": ((', "stress"', ""), "`$.task.labels`"),
    "an unknown data set": (('"simulated"', '"wesud"'), "`$.data.dataset`"),
    "no folder": (('"simulated"', '"bidmc"'), "bidmc needs a folder - at `$.data.folder`"),
    "an unknown rule": (('rule = "classes"', 'rule = "class"'), "`$.task.rule`"),
    "classes with a rate": (
        ('rule = "classes"', 'rule = "classes"\nrate = true'),
        "only a value, or one in bands, can be a rate - at `$.task.rate`",
    ),
    "a fold too many": (
        ("[task]", "[split]\nfolds = 4\nfold = 4\n[task]"),
        "fold 4 does not exist: 4 folds are numbered from 0 - at `$.split.fold`",
    ),
    "a single fold": (("[task]", "[split]\nfolds = 1\n[task]"), "`$.split.folds`"),
    "a full share": (("[task]", "[split]\nhead_share = 1.0\n[task]"), "`$.split.head_share`"),
    "an unknown loss": (("[task]", '[bridge]\nloss = "huber"\n[task]'), "`$.bridge.loss`"),
    "no hash of a foreign file": (
        ('name = "papagei"\n', FOREIGN + 'licence = "MIT"\n'),
        "give its sha256 (sha256sum FILE) - at `$.source.model.sha256`",
    ),
    "half a hash": (
        ('name = "papagei"\n', FOREIGN + 'sha256 = "0a0a"\n'),
        "`$.source.model.sha256`",
    ),
    "no licence of a foreign file": (
        ('name = "papagei"\n', FOREIGN + SHA256),
        "state the licence of its weights - at `$.source.model.licence`",
    ),
    "an unknown model": (
        ('name = "papagei"', 'name = "resnet"'),
        "no model is called 'resnet': choose one of cbramod, ",
    ),
    "a target that is none": (
        ('name = "ecg_transformer"', 'name = "ecg_dualnet"'),
        "serves as a source only: its blocks are conditioned on the raw signal, which a bridge "
        "does not have - at `$.target.model.name`",
    ),
    "columns without channels": (
        ('column = "ppg_2"', 'column = ["a", "b"]'),
        "2 columns are 1 channels of the live sensor: name one for each, in the same order - "
        "at `$.source.sensor.channel`",
    ),
    "a channel twice": (
        ('column = "ppg_2"\nchannel = "ppg_2"', 'column = ["a", "b"]\nchannel = ["c", "c"]'),
        "c, c: one is named twice - at `$.source.sensor.channel`",
    ),
    "a sensor too slow": (
        (
            'stages = [{ stage = "filter", design = "butterworth", cutoff = [0.5, 8.0] }]\n\n'
            '[source.sensor]\nmodality = "ppg"\ncolumn = "ppg_2"\nchannel = "ppg_2"\n'
            'unit = "a.u."\nrate = 64.0',
            'stages = "model"\n\n[source.sensor]\nmodality = "ppg"\ncolumn = "ppg_2"\n'
            'channel = "ppg_2"\nunit = "a.u."\nrate = 1.0',
        ),
        "holds nothing of a band from 0.5 Hz on: use a faster sensor or state the stages - at "
        "`$.source.stages`",
    ),
    "a sensor twice": (
        ("rate = 64.0", 'rate = 64.0\nboard = "muse_2"\nsame_as = ["muse_2/default"]'),
        "muse_2/default, muse_2/default: one is named twice - at `$.source.sensor.same_as`",
    ),
    "a typo in a decision": (
        ("[task]", "[decision]\npatiense = 2\n[task]"),
        "unknown field `patiense` - at `$.decision`",
    ),
    "a threshold that is never met": (
        ("[task]", "[decision]\nthreshold = 1.0\n[task]"),
        "`$.decision.threshold`",
    ),
    "a typo in a bound of quality": (
        ("[task]", "[quality]\nmin_reel = 0.5\n[task]"),
        "unknown field `min_reel` - at `$.quality`",
    ),
    "a bound of quality that cannot be": (
        ("[task]", "[quality]\nmin_real = 1.5\n[task]"),
        "`$.quality.min_real`",
    ),
    "a fault that does not exist": (
        ("[task]", '[quality]\noff = ["loudness"]\n[task]'),
        "`$.quality.off[0]`",
    ),
    "an unknown set of classic features": (
        ("length = 640", 'length = 640\nclassic = "heart"'),
        "`$.source.classic`",
    ),
    "breathing of a sensor that shows none": (
        (
            STREAMED,
            STREAMED.replace('"ppg"', '"eda"').replace("}]\n", '}]\nclassic = "breathing"\n'),
        ),
        "breathing is told from ppg or ecg, not from eda: write classic = true - "
        "at `$.source.classic`",
    ),
    "breathing in a window without a breath": (
        ("length = 640", 'length = 639\nclassic = "breathing"'),
        "windows of 9.98438 s hold no breath: breathing takes 10 s or more",
    ),
    "breathing through the target's tail": (
        ("length = 1250", 'length = 1250\nclassic = "breathing"'),
        'write target_cut = "head" - at `$.target.classic`',
    ),
    "an unknown precision": (
        ("[task]", '[compute]\nprecision = "fp8"\n[task]'),
        "`$.compute.precision`",
    ),
    "no TOML": (("[task]", "[task"), "line 6"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_one_line_that_names_the_path(write, slip: str) -> None:
    change, says = SLIPS[slip]
    path = write(change)
    with pytest.raises(RecipeError) as error:
        recipes.read(path)
    message = str(error.value)
    assert says in message and message.startswith(f"{path}: ") and "\n" not in message


def test_classic_features_may_be_those_of_breathing(write) -> None:
    plain, more = (
        recipes.read(write(("length = 640", f"length = 640\nclassic = {word}"))).source
        for word in ("true", '"breathing"')
    )
    assert (plain.classic, plain.breathing) == (True, False)
    assert (more.classic, more.breathing, more.plain) == ("breathing", True, False)
    assert not set(more.described) & set(plain.described)


def test_a_foreign_file_with_hash_and_licence_reads(write) -> None:
    path = write(('name = "papagei"\n', FOREIGN + SHA256 + 'licence = "BSD-3-Clause"\n'))
    assert recipes.read(path).source.model.sha256 == "0a" * 32


def test_a_file_that_is_no_text_is_a_recipe_error(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"r\.toml"):
        recipes.read(tmp_path / "r.toml")


@pytest.mark.parametrize(
    ("name", "says"), [("nowhere.toml", "is not there"), (".", "cannot be read")]
)
def test_a_recipe_that_cannot_be_opened_says_so(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        recipes.read(tmp_path / name)


# -- through the command line -----------------------------------------------------------------


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """Run ``bioxedge build`` in this process; give its exit code and what it wrote."""
    pytest.importorskip("torch", exc_type=ImportError)

    def run(recipe: Path, *arguments: str) -> tuple[int, str]:
        words = ["bioxedge", "build", str(recipe), "--out", str(tmp_path / "out"), *arguments]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code, out + err

    return run


def error_of(written: str) -> str:
    """Give the one line of the error; what came before it is progress."""
    assert "Traceback" not in written
    *_, last = written.splitlines()
    assert last.startswith("error: ") and written.count("error:") == 1
    return last


@pytest.mark.train
@pytest.mark.parametrize("slip", ["a typo in a section", "a fold too many", "no TOML"])
def test_a_slip_ends_a_build_with_exit_code_2(build, write, tmp_path: Path, slip: str) -> None:
    change, says = SLIPS[slip]
    code, written = build(write(change))
    assert code == 2 and says in error_of(written) and written.count("\n") == 1
    assert not (tmp_path / "out").exists()


BIDMC = ('"simulated"', '"bidmc"\nfolder = "bidmc"')


@pytest.mark.train
def test_recordings_that_nobody_named_ask_for_data(
    build, write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BIOXEDGE_SHARED", raising=False)
    code, written = build(write(BIDMC))
    assert code == 2 and "--data" in error_of(written)


@pytest.mark.train
def test_recordings_that_are_not_there_ask_for_data(build, write, tmp_path: Path) -> None:
    code, written = build(write(BIDMC), "--data", str(tmp_path))
    assert code == 2 and "--data" in error_of(written)
    assert str(tmp_path / "bidmc") in written.replace("\n", "")


@pytest.mark.train
def test_a_recipe_without_enough_people_is_one_line(build, write) -> None:
    few = ('"simulated"', '"simulated"\nwearers = 2\nminutes = 2.0')
    code, written = build(write(few))
    assert code == 2 and "nobody is left for pair: of 2 people 2 have labels" in error_of(written)


def test_a_change_stands_in_place_of_what_is_written(write) -> None:
    changes = ["bridge.rank=4", 'source.sensor.channel=["ir"]', "name=other", "split.folds=3"]
    recipe = recipes.read(write(), changes)
    assert (recipe.bridge.rank, recipe.name, recipe.split.folds) == (4, "other", 3)
    assert recipe.source.sensor.channels == ("ir",)
    for change, says in (
        ("bridge.rnak=4", "unknown field `rnak` - at `$.bridge`"),
        ("bridge.rank", "--set bridge.rank: write key=value"),
        ("name.x=1", "--set name.x=1: name is a value, nothing lies below it"),
    ):
        with pytest.raises(RecipeError) as error:
            recipes.read(write(), [change])
        assert says in str(error.value) and "\n" not in str(error.value)


def test_a_preset_gives_what_the_recipe_leaves_open(write) -> None:
    path = write(("[data]", 'preset = "paper"\n\n[bridge]\nbatch = 32\n\n[data]'))
    paper, ours = recipes.read(path), recipes.read(write())
    assert (paper.bridge.schedule, paper.head.schedule) == ("constant", "constant")
    assert (paper.bridge.loss, paper.bridge.over, paper.bridge.start) == (
        "cosine",
        "tokens",
        "random",
    )
    assert paper.bridge.batch == 32 and not paper.head.standardise
    assert (ours.bridge.schedule, ours.bridge.loss) == ("cosine", "centred_cosine")


ROLES = """\
[[teacher]]
folder = "chest"

[[pairs]]
folder = "both"

[[test]]
folder = "wrist"
"""


def test_each_role_has_its_data_sets(write) -> None:
    recipe = recipes.read(write(('[data]\ndataset = "simulated"\n', ROLES)))
    assert [data.folder for data in recipe.used] == ["chest", "both", "wrist"]
    for role, name in (("head", "chest"), ("pair", "both"), ("test", "wrist")):
        assert [data.folder for data in recipe.role(role)] == [name]
    one = recipes.read(write())
    assert one.role("head") == one.role("pair") == one.role("test") == (one.data,)
