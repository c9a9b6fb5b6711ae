"""Models that somebody brings: docs/own-model.md as it stands, and what is refused, in words."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from click.testing import CliRunner
from fixtures_export import PROTOTYPES, QUIET, RANK
from safetensors.torch import save_file

from bioxedge import models, recipes
from bioxedge.building import feeding, provenance
from bioxedge.building.offline import export
from bioxedge.commands.models import models as verb
from bioxedge.errors import ModelError, RecipeError
from bioxedge.models import cards, checkpoint, own
from bioxedge.models.cards import Card, Contract
from bioxedge.runtime import verify

pytestmark = pytest.mark.train

PAGE = Path(__file__).resolve().parent.parent / "docs" / "own-model.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
FILES = {
    text.split()[1]: text for kind, text in BLOCKS if kind == "python" and text.startswith("# ")
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(own, "_REGISTERED", {})
    monkeypatch.setattr(cards, "_OWN", {})
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", "") in {str(tmp_path / each) for each in FILES}:
            del sys.modules[name]


def test_the_page_works_when_it_is_typed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(FILES) == {"heartnet.py", "patchbert.py"}
    session: dict[str, Any] = {}
    for kind, text in BLOCKS:
        if kind == "sh":
            for line in text.splitlines():
                done = CliRunner().invoke(verb, line.split()[2:])
                assert done.exit_code == 0, (line, done.output, done.exception)
                assert "not stated" in done.output or "PASS" in done.output
        elif kind == "python" and not text.startswith("# "):
            exec(compile(text, "own-model.md", "exec"), session)
    said = capsys.readouterr().out
    assert "True () Cut(tokens=320, features=8)" in said
    assert "{'width': 8, 'blocks': 4, 'channels': 1} Apache-2.0" in said


# -- from two files to a bundle -----------------------------------------------------------------

RECIPE = """\
name = "own"

[data]
dataset = "folder"
folder = "nowhere"

[task]
channel = "class"
rule = "classes"
labels = ["rest", "stress"]

[source]
length = 640
hop = 128
then = [{ stage = "zscore" }]

[source.sensor]
modality = "ppg"
column = "PLETH"
channel = "PPG"
unit = "a.u."
rate = 64.0

[source.model]
name = "heartnet:heartnet"
checkpoint = "heartnet.safetensors"
sha256 = "HEARTNET"
licence = "MIT"

[target]
length = 1000

[target.sensor]
modality = "ecg"
column = "II"
channel = "II"
unit = "mV"
rate = 100.0

[target.model]
name = "patchbert:patchbert"
checkpoint = "patchbert.safetensors"
sha256 = "PATCHBERT"
licence = "CC-BY-NC-4.0"

[bridge]
source_cut = 3
target_cut = 1
rank = 3
prototypes = 6
"""


def written(home: Path, *edits: tuple[str, str]) -> Path:
    torch.manual_seed(0)
    text = RECIPE
    for name, options in (("heartnet", {"width": 8}), ("patchbert", {"blocks": 2})):
        chain = models.create(f"{name}:{name}", **options).eval()
        digest = checkpoint.save(chain, home / f"{name}.safetensors")
        text = text.replace(name.upper(), digest)
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    (home / "recipe.toml").write_text(text)
    return home / "recipe.toml"


def test_two_own_models_become_a_bundle_that_runs(home: Path) -> None:
    recipe = written(home)
    generator = torch.Generator().manual_seed(3)
    tokens, features = models.create("patchbert:patchbert", blocks=2).cut(1, 1000)
    shapes = {"P": (PROTOTYPES, features), "A": (RANK, 8), "B": (PROTOTYPES * tokens, RANK)}
    weights = {name: torch.randn(size, generator=generator) for name, size in shapes.items()}
    torch.save({"prototypes" if k == "P" else k: v for k, v in weights.items()}, home / "bridge.pt")
    torch.save({"weight": 0.1 * torch.randn(2, features), "bias": torch.zeros(2)}, home / "head.pt")
    found = export(
        recipe, home / "bundle", bridge=home / "bridge.pt", head=home / "head.pt", **QUIET
    )
    about = found.shipped.bundle.manifest.made_by
    assert verify(found.shipped.bundle).difference <= 1e-5
    assert about.source.model == "heartnet:heartnet" and about.target.blocks == 2
    terms = {each.part: each for each in about.licences}
    assert terms["source"].licence == "MIT" and not terms["source"].non_commercial
    assert terms["target"].non_commercial and about.non_commercial


def test_reading_a_recipe_imports_neither_torch_nor_the_module(home: Path) -> None:
    written(home)
    (home / "heartnet.py").write_text("raise SystemExit('imported')\n")
    program = (
        "import sys; from bioxedge import recipes; recipes.read('recipe.toml');"
        "assert not {'torch', 'heartnet', 'patchbert'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("rate = 64.0", "rate = 50.0"), r"trained at 64 Hz, 50 Hz are streamed.*\$\.source\.stag"),
        (
            ('then = [{ stage = "zscore" }]\n', ""),
            r"standardised or ranked windows.*\$\.source\.th",
        ),
        (("source_cut = 3", "source_cut = 9"), r"no cut 9: the model has cuts 0 to 4"),
        (("length = 1000", "length = 10"), r"do not pass the stem.*\$\.target\.length"),
        (
            ('channel = "PPG"', 'channel = ["PPG", "IR"]'),
            r"bare.safetensors does not fit: shape stem.weight \[8, 1, 7\] for \[8, 2, 7\]",
        ),
    ],
)
def test_what_an_own_card_states_is_held_against_the_recipe(
    home: Path, edit: tuple[str, str], message: str
) -> None:
    more = (('column = "PLETH"', 'column = ["PLETH", "IR"]'),) if "IR" in edit[1] else ()
    path = written(home, edit, *more)
    chain = models.load("heartnet:heartnet", "heartnet.safetensors")
    # As its authors would publish it: what bioxedge wrote itself is trained to the recipe.
    weights = {key: value.contiguous() for key, value in chain.state_dict().items()}
    save_file(weights, home / "bare.safetensors")
    text = path.read_text().replace(chain.sha256, checkpoint.sha256(home / "bare.safetensors"))
    text = text.replace('"heartnet.safetensors"', '"bare.safetensors"\nconfig = { width = 8 }')
    path.write_text(text)
    with pytest.raises((RecipeError, ModelError), match=message) as caught:
        feeding.opened(recipes.read(path), home)
    assert "\n" not in str(caught.value)


def test_a_restricted_own_card_contradicts_a_free_licence_once_it_is_known(home: Path) -> None:
    path = written(home, ('licence = "CC-BY-NC-4.0"', 'licence = "MIT"'))
    text = FILES["patchbert.py"].replace(
        "own_model(keys", "own_model(models.cards.Card('x', non_commercial=True), keys"
    )
    (home / "patchbert.py").write_text(text)
    sys.modules.pop("patchbert")
    recipe = recipes.read(path)
    with pytest.raises(RecipeError, match=r"patchbert:patchbert was published .* recipe says MIT"):
        feeding.opened(recipe, home)
    chain = models.create("patchbert:patchbert")
    assert provenance.licence("target", chain, recipe.target.model).non_commercial


# -- names and functions ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("heartnets:heartnet", "no module heartnets: install it, or put the folder .* PYTHONPATH"),
        ("heartnet:net", "heartnet has no function net: it has heartnet"),
        ("heartnet:Block", "heartnet:Block is not marked as a model"),
        ("os:system", "os:system is not marked as a model: write @bioxedge.models.own_model"),
        ("broken:net", "broken cannot be imported: ZeroDivisionError: division by zero"),
        ("leaving:net", "leaving cannot be imported: SystemExit"),
        ("lacking:net", "lacking needs nowhere_at_all, which is not installed"),
        ("odd:gives_none", "odd:gives_none gives NoneType, not a chain"),
        ("odd:fails", "odd:fails cannot be made with .*: KeyError: 'x'"),
        ("odd:sliced", "odd:sliced gives .*cuts 1 to 4: return the whole chain"),
        ("heartnet:", "no model is called 'heartnet:'.*package.module:function"),
        (":heartnet", "no model is called ':heartnet'"),
        ("../heartnet:heartnet", "no model is called"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_line(home: Path, name: str, message: str) -> None:
    (home / "broken.py").write_text("1 / 0\n")
    (home / "leaving.py").write_text("raise SystemExit\n")
    (home / "lacking.py").write_text("import nowhere_at_all\n")
    (home / "odd.py").write_text(
        "from bioxedge import models\n"
        "@models.own_model()\ndef gives_none(): pass\n"
        "@models.own_model()\ndef fails(): {}['x']\n"
        "@models.own_model()\ndef sliced(): return models.create('heartnet:heartnet')[1:]\n"
    )
    with pytest.raises(ModelError, match=message) as caught:
        models.create(name)
    assert "\n" not in str(caught.value)
    done = CliRunner().invoke(verb, [name, "--check", "640"])
    assert isinstance(done.exception, ModelError)  # which the command line says in one line


def test_options_are_told_and_kept(home: Path) -> None:
    with pytest.raises(ModelError, match="has no option depth: it takes width, blocks, channels"):
        models.create("heartnet:heartnet", depth=3)
    chain = models.create("heartnet:heartnet", blocks=2)
    assert chain.options() == {"width": 16, "blocks": 2, "channels": 1}
    assert chain[1:].options() == chain.options()
    assert models.takes("heartnet:heartnet", "channels")
    assert not models.takes("patchbert:patchbert", "channels")


def test_a_registered_name_serves_as_any_other(home: Path) -> None:
    contract = Contract(modality="ppg", rate=64.0, unit="1")
    function = models.own.find("heartnet:heartnet").factory
    models.register("heart-1", function, card=Card("x", licence="MIT", contract=contract))
    assert models.names()[-1] == "heart-1" and models.card("heart-1") == cards.card("heart-1")
    chain = models.create("heart-1", width=4)
    assert (chain.name, chain.licence, chain.origin) == ("heart-1", "MIT", "not stated")
    stages, _ = cards.card("heart-1").contract.streaming(128.0)
    assert (stages[0].up, stages[0].down) == (1, 2)
    for name, message in (("papagei", "name of a published model"), ("a:b", "no name for a model")):
        with pytest.raises(ModelError, match=message):
            models.register(name, function)
    with pytest.raises(ModelError, match=r"choose one of .*heart-1"):
        models.create("heart-2")


def test_a_card_that_states_no_rate_cannot_say_the_stages(home: Path) -> None:
    path = written(home, ("length = 640\n", 'length = 640\nstages = "model"\n'))
    with pytest.raises(RecipeError, match=r"write stages and then out - at `\$\.source\.stages`"):
        recipes.read(path)


# -- checkpoints --------------------------------------------------------------------------------


def test_a_published_file_is_read_by_its_authors_names(home: Path) -> None:
    chain = models.create("patchbert:patchbert").eval()
    theirs = {}
    for key, value in chain.state_dict().items():
        key = re.sub(r"^blocks\.(\d+)\.layer\.", r"encoder.layer.\1.", key)
        theirs["module." + re.sub(r"^stem\.", "embeddings.", key)] = value
    theirs["module.classifier.weight"] = torch.zeros(2, 32)
    torch.save({"state_dict": theirs, "epoch": 3}, home / "bert.pt")
    found = models.load("patchbert:patchbert", home / "bert.pt")
    x = torch.randn(1, 1, 1000)
    assert torch.equal(found(x), chain(x)) and not found.training
    del theirs["module.embeddings.norm.bias"]
    torch.save({**theirs, "module.surplus": torch.zeros(1)}, home / "bert.pt")
    with pytest.raises(ModelError, match=r"missing stem\.norm\.bias; unexpected surplus"):
        models.load("patchbert:patchbert", home / "bert.pt")


def test_editing_a_model_shows(home: Path) -> None:
    before = models.create("heartnet:heartnet").code
    assert before == models.create("heartnet:heartnet")[1:].code != ""
    (home / "heartnet.py").write_text(FILES["heartnet.py"].replace("relu()", "sigmoid()"))
    assert models.create("heartnet:heartnet").code != before
    assert models.create("papagei", base_filters=4, blocks=2).code == ""
