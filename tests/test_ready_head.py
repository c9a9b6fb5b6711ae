"""A head that somebody trained: alone in a file, or inside the classifier that it belongs to."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

import test_checkpoints as authors
from fixtures_models import SMALL
from safetensors.torch import save_file

from bioxedge import models, recipes
from bioxedge.bridging.head import Head
from bioxedge.building.readyhead import ready_head
from bioxedge.errors import ModelError
from bioxedge.models import checkpoint
from bioxedge.models.chain import Chain

pytestmark = pytest.mark.train

RECIPE = """\
name = "ready"

[[pairs]]
folder = "pairs"

[[teacher]]
head = "{head}"
sha256 = "{head_sha256}"
licence = "MIT"

[task]
channel = "class"
{task}

[source]
length = 500
hop = 100

[source.sensor]
modality = "ppg"
column = "PLETH"
channel = "PPG"
unit = "a.u."
rate = 125.0

[source.model]
name = "papagei"

[target]
length = {length}

[target.sensor]
modality = "any"
column = {columns}
channel = {columns}
unit = "uV"
rate = 200.0

[target.model]
name = "{model}"
checkpoint = "target.pt"
sha256 = "{sha256}"
licence = "CC-BY-NC-4.0"
"""
CLASSES = 'rule = "classes"\nlabels = ["a", "b", "c"]'
VALUE = 'rule = "value"\nunit = "bpm"'
Weights = dict[str, torch.Tensor]


def layer(features: int, answers: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(answers)
    weight = torch.randn(answers, features, generator=generator)
    return weight, torch.randn(answers, generator=generator)


def chain_of(name: str) -> Chain:
    torch.manual_seed(0)
    return authors.stirred(models.create(name, **SMALL[name][0]))


def read(folder: Path, name: str, content: Any, *, head: Any = None, task: str = CLASSES) -> Head:
    """Write a target's file and, if it is one of its own, the head's; read the head back."""
    with authors.authors_class("hubert_ecg", "HuBERTECGConfig"):
        torch.save(content(), folder / "target.pt")
    if head is not None:
        torch.save(head, folder / "head.pt")
    columns = ["C3", "O2"][: models.create(name, **SMALL[name][0]).channels]
    if models.card(name).contract.by_name == "leads":
        columns = ["II"]
    (folder / "recipe.toml").write_text(
        RECIPE.format(
            model=name,
            length=SMALL[name][1],
            columns=columns,
            task=task,
            head="head.pt" if head is not None else "checkpoint",
            head_sha256=checkpoint.sha256(folder / "head.pt") if head is not None else "0" * 64,
            sha256=checkpoint.sha256(folder / "target.pt"),
        )
    )
    recipe = recipes.read(folder / "recipe.toml")
    assert recipe.ready is not None
    return ready_head(recipe, recipe.ready, folder, models.create(name, **SMALL[name][0]))


def hubert(weight: torch.Tensor, bias: torch.Tensor | None, key: str = "classifier") -> Any:
    whole = authors.hubert_tuned(dict(chain_of("hubert_ecg").state_dict()))
    weights = whole["model_state_dict"]
    weights.pop("classifier.weight")
    weights[f"{key}.weight"] = weight
    if bias is not None:
        weights[f"{key}.bias"] = bias
    return whole


def ecg_fm(weight: torch.Tensor, bias: torch.Tensor) -> Any:
    whole = authors.ecg_fm_training(dict(chain_of("ecg_fm").state_dict()))
    own = {k: v for k, v in whole["model"].items() if not k.startswith(("quantizer", "project_q",
                                                                        "final_proj"))}  # fmt: skip
    tuned = {f"encoder.{key}": value for key, value in own.items()}
    return {**whole, "model": {**tuned, "proj.weight": weight, "proj.bias": bias}}


FEATURES = {"hubert_ecg": 24, "ecg_fm": 24}
CLASSIFIERS = {"hubert_ecg": hubert, "ecg_fm": ecg_fm}


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize(("task", "answers"), [(CLASSES, 3), (VALUE, 1)])
def test_a_classifiers_file_gives_its_head_and_its_encoder(
    tmp_path: Path, name: str, task: str, answers: int
) -> None:
    weight, bias = layer(FEATURES[name], answers)
    head = read(tmp_path, name, lambda: CLASSIFIERS[name](weight, bias), task=task)
    assert torch.equal(head.linear.weight, weight) and torch.equal(head.linear.bias, bias)
    assert not head.training and not head.linear.weight.requires_grad
    found = models.load(name, tmp_path / "target.pt")
    assert authors.equal(found, chain_of(name), 1e-6)


def test_a_head_as_square_as_its_encoder_is_told_by_its_name(tmp_path: Path) -> None:
    weight, bias = layer(24, 24)
    task = 'rule = "classes"\nlabels = [' + ", ".join(f'"{n}"' for n in range(24)) + "]"
    head = read(tmp_path, "hubert_ecg", lambda: hubert(weight, bias), task=task)
    assert torch.equal(head.linear.weight, weight)


def test_a_head_without_a_bias_has_none(tmp_path: Path) -> None:
    weight, _ = layer(24)
    head = read(tmp_path, "hubert_ecg", lambda: hubert(weight, None))
    assert torch.equal(head.linear.weight, weight) and not head.linear.bias.any()


@pytest.mark.parametrize("wrapped", ["bare", "under state_dict", "the whole classifier"])
def test_a_file_of_its_own_may_hold_the_layer_or_the_classifier(
    tmp_path: Path, wrapped: str
) -> None:
    weight, bias = layer(24)
    plain = {"module.fc.weight": weight.half(), "module.fc.bias": bias.half()}
    files = {
        "bare": plain,
        "under state_dict": {"state_dict": plain, "epoch": 3},
        "the whole classifier": {
            f"net.{key}": value for key, value in chain_of("hubert_ecg").state_dict().items()
        }
        | {"net.head.weight": weight.half(), "net.head.bias": bias.half()},
    }
    bare = lambda: dict(chain_of("hubert_ecg").state_dict())  # noqa: E731
    head = read(tmp_path, "hubert_ecg", bare, head=files[wrapped])
    assert torch.equal(head.linear.weight, weight.half().float())
    assert torch.equal(head.linear.bias, bias.half().float())


def test_a_head_that_was_trained_here_is_read_again(tmp_path: Path) -> None:
    ours = Head(24, 3)
    bare = lambda: dict(chain_of("hubert_ecg").state_dict())  # noqa: E731
    found = read(tmp_path, "hubert_ecg", bare, head=dict(ours.state_dict()))
    x = torch.randn(2, 7, 24)
    assert torch.equal(found(x), ours(x))


def two_layers() -> Any:
    whole = hubert(torch.zeros(24, 24), torch.zeros(24), "classifier.0")
    weight, bias = layer(24)
    whole["model_state_dict"] |= {"classifier.2.weight": weight, "classifier.2.bias": bias}
    return whole


def label_embedding() -> Any:
    return hubert(layer(24)[0], None, "label_embedding")


def labram() -> Any:
    whole = authors.tuned_labram(dict(chain_of("labram").state_dict()))
    whole["module"] |= {"head.weight": layer(100)[0], "head.bias": layer(100)[1]}
    return whole


def papagei() -> Any:
    whole = authors.papagei(dict(chain_of("papagei").state_dict()))
    features = models.create("papagei", **SMALL["papagei"][0]).cut(5, 250).features
    return whole | {"module.dense.weight": layer(features)[0], "module.dense.bias": layer(9)[1]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("hubert_ecg", two_layers, r"head classifier\.2\.weight does not read the mean .*classif"),
        ("labram", labram, r"head head\.weight does not read the mean .* but what fc_norm\.weight"),
        ("papagei", papagei, r"head dense\.weight does not read the mean .* but what final_bn"),
        ("hubert_ecg", label_embedding, r"no layer of \[3, 24\].*label_embedding\.weight \[3, 24"),
        ("hubert_ecg", lambda: hubert(*layer(24, 5)), r"no layer of \[3, 24\].*classifier\.weight"),
        ("hubert_ecg", lambda: hubert(layer(24)[0], torch.zeros(7)), r"classifier|bias"),
        ("hubert_ecg", lambda: hubert(*layer(24)) ["model_state_dict"] | {"head.weight":
            layer(24)[0]}, r"2 layers of \[3, 24\]"),
        ("hubert_ecg", lambda: hubert(layer(24)[0] / 0, None), "is not finite"),
    ],
)  # fmt: skip
def test_a_head_that_is_none_of_the_mean_is_refused_in_one_line(
    tmp_path: Path, name: str, content: Any, message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        read(tmp_path, name, content)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


def test_a_head_that_would_run_code_or_is_another_file_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    bare = lambda: dict(chain_of("hubert_ecg").state_dict())  # noqa: E731
    with pytest.raises(ModelError, match="cannot be read as weights alone"):
        read(tmp_path, "hubert_ecg", bare, head={"weight": Trap()})
    assert not (tmp_path / "ran").exists()
    read(tmp_path, "hubert_ecg", bare, head={"weight": layer(24)[0]})
    save_file({"weight": layer(24)[0]}, tmp_path / "head.pt")
    recipe = recipes.read(tmp_path / "recipe.toml")
    assert recipe.ready is not None
    with pytest.raises(ModelError, match=r"has sha256 .*, the recipe says"):
        ready_head(recipe, recipe.ready, tmp_path, chain_of("hubert_ecg"))
