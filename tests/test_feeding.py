"""What a recipe feeds its models: held against what their published weights were fed."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import msgspec
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from fixtures_models import SMALL
from test_checkpoints import LAYOUTS, stirred, written

from bioxedge import models, spec
from bioxedge.building.feeding import opened, options_of
from bioxedge.errors import ModelError, RecipeError
from bioxedge.models import checkpoint
from bioxedge.recipes import Bridge, Data, Model, Recipe, Sensor, Side, Task

pytestmark = pytest.mark.train

ZSCORE = (spec.ZScore(),)
PPG = Side(
    sensor=Sensor(modality="ppg", column="p", channel="p", unit="a.u.", rate=64.0),
    model=Model(name="papagei", config={"base_filters": 4, "blocks": 3}),
    length=320,
)


@pytest.fixture
def recipe(tmp_path):
    """Make a recipe whose target is a published file of one of the small models."""

    def make(layout: str, **changes) -> Recipe:
        chosen = LAYOUTS[layout]
        chain = stirred(models.create(chosen.name, **SMALL[chosen.name][0]))
        path = written(chosen, chain, tmp_path / "published.pt")
        contract = models.card(chosen.name).contract
        names = tuple(changes.pop("channels", contract.channels or ("one",)))
        sensor = Sensor(
            modality=contract.modality,
            column=names,
            channel=names,
            unit=changes.pop("unit", "uV"),
            rate=changes.pop("rate", contract.rate),
        )
        config = {k: list(v) if isinstance(v, tuple) else v for k, v in chosen.options.items()}
        config.pop(contract.by_name, None)
        model = Model(
            name=chosen.name,
            checkpoint=path.name,
            sha256=changes.pop("sha256", checkpoint.sha256(path)),
            licence="MIT",
            config=config,
        )
        side = Side(sensor=sensor, model=model, length=SMALL[chosen.name][1], then=contract.then)
        return Recipe(
            name="feeding",
            data=Data(dataset="simulated"),
            task=Task(channel="class", labels=("a", "b"), rule="classes"),
            source=PPG,
            target=msgspec.structs.replace(side, **changes),
        )

    return make


def test_a_published_model_is_opened_frozen_with_the_sensors_channels(recipe, tmp_path) -> None:
    wanted = recipe("labram, pretraining", channels=("Fp1", "O2", "Cz"))
    found = opened(wanted, tmp_path)
    assert set(found) == {"target"}  # the source is to be trained
    assert found["target"].config.electrodes == ("FP1", "O2", "CZ")
    assert found["target"].frozen and found["target"].sha256 == wanted.target.model.sha256


def test_leads_and_numbers_of_channels_come_from_the_sensor_unless_stated(recipe) -> None:
    fm = recipe("ecg_fm, bare, old weight norm", channels=("II", "V2")).target
    assert options_of(fm) == {"heads": 4, "leads": ("II", "V2")}
    stated = msgspec.structs.replace(fm, model=Model(name="ecg_fm", config={"leads": ["I", "II"]}))
    assert options_of(stated) == {"leads": ["I", "II"]}
    wear = recipe("normwear, training", channels=("left", "right")).target
    assert options_of(wear)["channels"] == 2
    selected = msgspec.structs.replace(wear, stages=(spec.Select(channels=("right",)),))
    selected = msgspec.structs.replace(selected, model=Model(name="normwear"))
    assert "channels" not in options_of(selected)


@pytest.mark.parametrize(
    ("layout", "changes", "message"),
    [
        ("papagei", {"rate": 64.0}, r"trained at 125 Hz, 64 Hz are streamed.*`\$\.target\.stages`"),
        ("papagei", {"then": ()}, r"standardised or ranked windows.*`\$\.target\.then`"),
        (
            "labram, pretraining",
            {"unit": "mV", "channels": ("C3",)},
            r"takes microvolts \(uV\), the sensor gives mV.*`\$\.target\.sensor\.unit`",
        ),
        (
            "labram, pretraining",
            {"length": 450, "channels": ("C3",)},
            r"450 samples do not fit.*`\$\.target\.length`",
        ),
        ("papagei", {"channels": ("a", "b")}, "channels=1, not 2|shape stem.conv.weight"),
    ],
)
def test_what_published_weights_cannot_use_is_refused(
    recipe, tmp_path, layout: str, changes: dict, message: str
) -> None:
    with pytest.raises((RecipeError, ModelError), match=message):
        opened(recipe(layout, **changes), tmp_path)


def test_a_scale_stage_makes_microvolts(recipe, tmp_path) -> None:
    changes = {"unit": "mV", "channels": ("C3",), "stages": (spec.Scale(gain=1000.0),)}
    assert opened(recipe("labram, pretraining", **changes), tmp_path)


def test_a_name_that_is_no_electrode_is_refused(recipe, tmp_path) -> None:
    with pytest.raises(ModelError, match="knows no electrode EEG_1"):
        opened(recipe("labram, pretraining", channels=("eeg_1",)), tmp_path)


def test_another_file_than_the_recipes_is_refused(recipe, tmp_path) -> None:
    with pytest.raises(ModelError, match="the recipe says 0a0a0a"):
        opened(recipe("papagei", sha256="0a" * 32), tmp_path)


def test_weights_that_bioxedge_saved_were_fed_as_their_trainer_chose(recipe, tmp_path) -> None:
    wanted = recipe("papagei", rate=64.0, then=())
    chain = models.create("papagei", base_filters=4, blocks=3)
    digest = checkpoint.save(chain, tmp_path / "mine.safetensors")
    model = Model(name="papagei", checkpoint="mine.safetensors", sha256=digest, licence="mine")
    target = msgspec.structs.replace(wanted.target, model=model)
    assert opened(msgspec.structs.replace(wanted, target=target), tmp_path)["target"].frozen


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_cut_is_held_to_the_model_whether_it_is_trained_or_published(
    recipe, tmp_path, side: str
) -> None:
    wanted = recipe("papagei")
    for cut in (-1, 6):
        bridge = Bridge(**{f"{side}_cut": cut})
        with pytest.raises(RecipeError, match=rf"no cut {cut}.*`\$\.bridge\.{side}_cut`"):
            opened(msgspec.structs.replace(wanted, bridge=bridge), tmp_path)
