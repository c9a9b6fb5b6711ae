"""Checkpoints as their authors publish them: every layout, small and at full size.

No published file is here, so each is made: our weights under the authors' key names, inside
what their training scripts wrap around them. The names are held against real ones by the
golden files (test_golden.py).
"""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import argparse
import json
import random
import re
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

import fixtures_models
from fixtures_all import ALL
from safetensors.torch import save_file
from torch import Tensor

from bioxedge import models
from bioxedge.errors import ModelError
from bioxedge.models import checkpoint
from bioxedge.models.cards import CARDS
from bioxedge.models.chain import Chain

pytestmark = pytest.mark.train

Weights = dict[str, Tensor]


def back(weights: Weights, rules: list[tuple[str, str]]) -> Weights:
    """Give our keys the authors' names."""
    out = {}
    for key, value in weights.items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        out[key] = value
    return out


def weight_normed(weights: Weights, prefix: str, *, old: bool = False) -> Weights:
    """Store a convolution as gain and direction, one gain for each kernel position."""
    out = dict(weights)
    weight = out.pop(prefix + "weight")
    gain = weight.square().sum((0, 1), keepdim=True).sqrt()
    names = ("weight_g", "weight_v") if old else (
        "parametrizations.weight.original0", "parametrizations.weight.original1",
    )  # fmt: skip
    scales = 0.5 + torch.rand(weight.shape[-1])  # the direction's own length does not count
    return {**out, prefix + names[0]: gain, prefix + names[1]: weight * scales}


# -- one way to write each model ----------------------------------------------------------------


def labram(weights: Weights) -> Weights:
    return back(
        weights,
        [
            (r"^stem\.(conv|norm)", r"patch_embed.\1"),
            (r"^stem\.token$", "cls_token"),
            (r"^stem\.positions$", "pos_embed"),
            (r"^stem\.times$", "time_embed"),
            (r"\.mlp\.up\.", ".mlp.fc1."),
            (r"\.mlp\.down\.", ".mlp.fc2."),
            (r"^(blocks\.\d+)\.(qkv|q_norm|k_norm|proj)\.", r"\1.attn.\2."),
        ],
    )


def pretrained_labram(weights: Weights) -> Any:
    inside = labram(weights)
    width = inside["cls_token"].shape[-1]
    beside = {
        "student.mask_token": torch.zeros(1, 1, width), "student.norm.weight": torch.ones(width),
        "student.norm.bias": torch.zeros(width), "student.lm_head.weight": torch.zeros(7, width),
        "student.rel_pos_bias.relative_position_index": torch.zeros(3, 3),
        "lm_head.weight": torch.zeros(7, width), "logit_scale": torch.zeros(()),
    }  # fmt: skip
    student = {f"student.{key}": value for key, value in inside.items()}
    options = argparse.Namespace(lr=5e-4, output_dir=Path("checkpoints"), drop=[0.1])
    return {"model": {**student, **beside}, "args": options, "epoch": 49, "scaler": {"scale": 1.0}}


def tuned_labram(weights: Weights) -> Any:
    inside = labram(weights)
    width = inside["cls_token"].shape[-1]
    head = {"fc_norm.weight": torch.ones(width), "fc_norm.bias": torch.zeros(width),
            "head.weight": torch.zeros(2, width), "head.bias": torch.zeros(2)}  # fmt: skip
    return {"module": {**inside, **head}}


def hubert(weights: Weights, *, old: bool = False) -> Weights:
    plain = back(
        weights,
        [
            (r"^stem\.positions\.", "encoder.pos_conv_embed."),
            (r"^stem\.norm\.", "encoder.layer_norm."),
            (r"^stem\.", ""),
            (r"^blocks\.(\d+)\.layer\.", r"encoder.layers.\1."),
        ],
    )
    return weight_normed(plain, "encoder.pos_conv_embed.conv.", old=old)


def hubert_config(weights: Weights, heads: int) -> dict[str, Any]:
    projection = weights["feature_projection.projection.weight"]
    return {
        "hidden_size": projection.shape[0], "num_attention_heads": heads,
        "num_hidden_layers": sum(key.endswith("final_layer_norm.bias") for key in weights),
        "conv_kernel": [10, 3, 3, 2, 2], "conv_stride": [4, 2, 2, 2, 2],
        "do_stable_layer_norm": False, "model_type": "hubert_ecg", "vocab_sizes": [100],
    }  # fmt: skip


@contextmanager
def authors_class(module: str, name: str) -> Iterator[type]:
    """Stand in for a class that only its authors have while a file of it is written."""
    packages = module.split(".")
    made = [".".join(packages[: n + 1]) for n in range(len(packages))]
    made = [each for each in made if each not in sys.modules]
    sys.modules.update({each: types.ModuleType(each) for each in made})
    kind = type(name, (), {"__module__": module})
    setattr(sys.modules[module], name, kind)
    try:
        yield kind
    finally:
        for each in made:
            del sys.modules[each]


HEADS = {"hubert_ecg": 4, "ecg_fm": 4, "normwear": 4}  # of the small models below


def hubert_training(weights: Weights, heads: int = HEADS["hubert_ecg"]) -> Any:
    inside = hubert(weights)
    width = inside["encoder.layer_norm.bias"].shape[0]
    kind = sys.modules["hubert_ecg"].HuBERTECGConfig
    config = kind()
    config.__dict__.update(hubert_config(inside, heads))
    extra = {
        "masked_spec_embed": torch.zeros(width),
        "final_proj.0.weight": torch.zeros(16, width),
        "final_proj.0.bias": torch.zeros(16),
        "label_embedding.0.weight": torch.zeros(100, 16),
    }
    return {
        "global_step": 8000, "best_val_loss": np.float64(2.5), "patience_count": np.int64(3),
        "model_config": config, "model_state_dict": {**inside, **extra}, "optimizer_state_dict": {},
    }  # fmt: skip


def hubert_tuned(weights: Weights) -> Any:
    whole = hubert_training(weights)
    inside = {f"hubert_ecg.{key}": value for key, value in whole["model_state_dict"].items()}
    return {**whole, "model_state_dict": {**inside, "classifier.weight": torch.zeros(3, 3)}}


def ecg_fm(weights: Weights, *, old: bool = False) -> Weights:
    plain = back(
        weights,
        [
            (r"^stem\.convs\.(\d+)\.", r"feature_extractor.conv_layers.\1.0."),
            (r"^stem\.group_norm\.", "feature_extractor.conv_layers.0.2."),
            (r"^stem\.feature_norm\.", "layer_norm."),
            (r"^stem\.projection\.", "post_extract_proj."),
            (r"^stem\.positions\.", "conv_pos.pos_conv.0."),
            (r"^stem\.norm\.", "encoder.layer_norm."),
            (r"^blocks\.(\d+)\.mlp\.up\.", r"encoder.layers.\1.fc1."),
            (r"^blocks\.(\d+)\.mlp\.down\.", r"encoder.layers.\1.fc2."),
            (r"^blocks\.(\d+)\.norm1\.", r"encoder.layers.\1.self_attn_layer_norm."),
            (r"^blocks\.(\d+)\.norm2\.", r"encoder.layers.\1.final_layer_norm."),
            (r"^blocks\.(\d+)\.out\.", r"encoder.layers.\1.self_attn.out_proj."),
            (r"^blocks\.(\d+)\.qkv\.", r"encoder.layers.\1.self_attn.qkv."),
        ],
    )
    out = {}
    for key, value in plain.items():
        if ".qkv." in key:
            for which, part in zip("qkv", value.chunk(3), strict=True):
                out[key.replace("qkv", f"{which}_proj")] = part.clone()
        else:
            out[key] = value
    return weight_normed(out, "conv_pos.pos_conv.0.", old=old)


def ecg_fm_training(weights: Weights, heads: int = HEADS["ecg_fm"], **stored: Any) -> Any:
    inside = ecg_fm(weights)
    model = {
        "_name": "wav2vec2_cmsc", "encoder_attention_heads": heads, "layer_norm_first": False,
        "conv_feature_layers": "[(256, 2, 2)] * 4", "in_d": 12, "extractor_mode": "default",
        **stored,
    }  # fmt: skip
    extra = {
        "mask_emb": torch.zeros(3),
        "quantizer.vars": torch.zeros(1, 4, 2),
        "project_q.weight": torch.zeros(2, 2),
        "final_proj.bias": torch.zeros(2),
    }
    return {
        "args": None, "cfg": {"model": model, "common": {"seed": 1}}, "model": {**inside, **extra},
        "optimizer_history": [{"num_updates": 3}], "extra_state": {"val_loss": np.float32(0.5)},
    }  # fmt: skip


def papagei(weights: Weights) -> Weights:
    plain = back(
        weights,
        [
            (r"^stem\.conv\.", "first_block_conv.conv."),
            (r"^stem\.norm\.", "first_block_bn."),
            (r"^blocks\.(\d+)\.norm(\d)\.", r"basicblock_list.\1.bn\2."),
            (r"^blocks\.(\d+)\.conv(\d)\.", r"basicblock_list.\1.conv\2.conv."),
        ],
    )
    width = weights["stem.norm.bias"].shape[0]
    unused = {f"basicblock_list.0.bn1.{key}": torch.ones(width) for key in ("weight", "bias")}
    heads = {
        "final_bn.weight": torch.ones(4),
        "dense.bias": torch.zeros(4),
        "expert_layers_1.0.0.bias": torch.zeros(2),
        "gating_network_2.0.bias": torch.zeros(3),
    }
    return {f"module.{key}": value for key, value in {**plain, **unused, **heads}.items()}


def normwear(weights: Weights) -> Weights:
    return back(
        weights,
        [
            (r"^stem\.patches\.", "patch_embed.proj."),
            (r"^stem\.token$", "cls_token"),
            (r"^stem\.positions$", "pos_embed"),
            (r"\.(qkv|proj)\.", r".attn.\1."),
            (r"patch_embed\.attn\.", "patch_embed."),
            (r"\.mlp\.up\.", ".mlp.fc1."),
            (r"\.mlp\.down\.", ".mlp.fc2."),
            (r"^blocks\.(\d+)\.own\.", r"encoder_blocks.\1.variate_encoder."),
            (r"^blocks\.(\d+)\.fusion\.", r"encoder_blocks.\1.cls_fusion."),
        ],
    )


def normwear_training(weights: Weights) -> Any:
    extra = {
        "norm.weight": torch.ones(3),
        "mask_token": torch.zeros(1, 1, 3),
        "decoder_blocks.0.norm1.weight": torch.ones(3),
        "decoder_pos_embed": torch.zeros(1, 2),
        "temporal_recon.weight": torch.zeros(2),
        "spatial_recon.bias": torch.zeros(2),
    }
    return {"model": {**normwear(weights), **extra}, "epoch": 4, "args": argparse.Namespace(lr=1.0)}


def normwear_backbone(weights: Weights) -> Any:
    inside = normwear_training(weights)["model"]
    return {"model": {f"backbone.{key}": value for key, value in inside.items()}}


def cbramod(weights: Weights) -> Weights:
    width = weights["stem.spectrum.bias"].shape[0]
    plain = back(
        weights,
        [
            (r"^stem\.positions\.", "patch_embedding.positional_encoding.0."),
            (r"^stem\.spectrum\.", "patch_embedding.spectral_proj.0."),
            (r"^stem\.conv1\.", "patch_embedding.proj_in.0."),
            (r"^stem\.norm1\.", "patch_embedding.proj_in.1."),
            (r"^stem\.conv2\.", "patch_embedding.proj_in.3."),
            (r"^stem\.norm2\.", "patch_embedding.proj_in.4."),
            (r"^stem\.conv3\.", "patch_embedding.proj_in.6."),
            (r"^stem\.norm3\.", "patch_embedding.proj_in.7."),
            (r"^blocks\.", "encoder.layers."),
            (r"\.space\.", ".self_attn_s."),
            (r"\.time\.", ".self_attn_t."),
            (r"\.qkv\.", ".in_proj_"),
            (r"\.out\.", ".out_proj."),
            (r"\.mlp\.up\.", ".linear1."),
            (r"\.mlp\.down\.", ".linear2."),
        ],
    )
    beside = {
        "patch_embedding.mask_encoding": torch.zeros(200),
        "proj_out.0.weight": torch.zeros(width, width), "proj_out.0.bias": torch.zeros(width),
    }  # fmt: skip
    return {**plain, **beside}


def cbramod_tuned(weights: Weights) -> Weights:
    inside = {f"backbone.{k}": v for k, v in cbramod(weights).items() if "proj_out" not in k}
    return {**inside, "classifier.3.weight": torch.zeros(2, 40), "classifier.3.bias": torch.ones(2)}


def dualnet(weights: Weights) -> Weights:
    plain = back(
        weights,
        [
            (r"^stem\.encoder\.positions$", "positional_embedding"),
            (r"^stem\.encoder\.", "ecg_encoder."),
            (r"^blocks\.", "spectrogram_encoder."),
            (r"\.time\.", ".axial_attention_mapping.0."),
            (r"\.frequency\.", ".axial_attention_mapping.1."),
            (r"\.qkv\.", ".query_key_value_mapping.0."),
            (r"\.qkv_norm\.", ".query_key_value_mapping.1."),
            (r"\.similarity_norm\.", ".similarity_normalization."),
            (r"(axial_attention_mapping\.\d)\.output_norm\.", r"\1.output_normalization."),
            (r"\.offsets$", ".relative_embeddings"),
            (r"\.residual\.", ".residual_mapping."),
            (r"\.condition\.", ".linear_mapping."),
            (r"((?:norm\d|(?:input|output)_norm))\.norm\.", r"\1.batch_normalization."),
            (r"\.(conv|norm|act)(\d)\.", r".main_mapping_\1_\2."),
            (r"\.(input|output)_(conv|norm|act)\.", r".\1_mapping_\2."),
            (r"\.act\.", ".final_activation."),
        ],
    )
    extra = {
        "linear_layer_1.0.weight": torch.zeros(2),
        "linear_layer_2.bias": torch.zeros(4),
        "spectrogram_encoder.2.axial_attention_mapping.0.relative_indexes": torch.zeros(4),
    }
    return {f"module.{key}": value for key, value in {**plain, **extra}.items()}


# -- the files ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """One published way of storing one model."""

    name: str
    write: Callable[[Weights], Any]
    options: dict[str, Any] = field(default_factory=dict)  # what a user must say


SMALL = {name: options for name, (options, _) in fixtures_models.SMALL.items()}
LAYOUTS = {
    "labram, pretraining": Layout("labram", pretrained_labram, {"electrodes": ("C3", "O2")}),
    "labram, fine-tuned": Layout("labram", tuned_labram, {"electrodes": ("C3", "O2")}),
    "hubert, training": Layout("hubert_ecg", hubert_training),
    "hubert, fine-tuned": Layout("hubert_ecg", hubert_tuned),
    "hubert, bare": Layout("hubert_ecg", hubert, {"heads": 4}),
    "hubert, old weight norm": Layout("hubert_ecg", lambda w: hubert(w, old=True), {"heads": 4}),
    "ecg_fm, training": Layout("ecg_fm", ecg_fm_training),
    "ecg_fm, bare, old weight norm": Layout("ecg_fm", lambda w: ecg_fm(w, old=True), {"heads": 4}),
    "cbramod": Layout("cbramod", cbramod, {"channels": 2, "heads": 4}),
    "cbramod, fine-tuned": Layout("cbramod", cbramod_tuned, {"channels": 2, "heads": 4}),
    "papagei": Layout("papagei", papagei),
    "normwear, training": Layout("normwear", normwear_training, {"channels": 2, "heads": 4}),
    "normwear, backbone": Layout("normwear", normwear_backbone, {"channels": 2, "heads": 4}),
    "ecg_dualnet": Layout("ecg_dualnet", dualnet),
}


def stirred(chain: Chain, seed: int = 0) -> Chain:
    """Make every number one of its own, so that a swap would show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in chain.state_dict().items():
            if value.is_floating_point():
                noise = 0.2 * torch.randn(value.shape, generator=generator)
                value.copy_(noise.exp() if "running_var" in key else value + noise)
    return chain.eval()


def written(layout: Layout, chain: Chain, path: Path) -> Path:
    with authors_class("hubert_ecg", "HuBERTECGConfig"):
        torch.save(layout.write(dict(chain.state_dict())), path)
    return path


def equal(one: Chain, other: Chain, tolerance: float = 0.0) -> bool:
    mine, others = one.state_dict(), other.state_dict()
    return mine.keys() == others.keys() and all(
        torch.equal(mine[key], others[key])
        or (mine[key] - others[key]).abs().max() <= tolerance * mine[key].abs().max()
        for key in mine
    )


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_published_layout_loads_and_says_its_dimensions(tmp_path: Path, layout: Layout) -> None:
    chain = stirred(models.create(layout.name, **SMALL[layout.name]))
    path = written(layout, chain, tmp_path / "published.pt")
    found = models.load(layout.name, path, **layout.options)
    assert found.config == chain.config
    assert equal(found, chain, 1e-6)  # gain times direction rounds
    assert not found.training and found.sha256 == checkpoint.sha256(path)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_key_too_few_and_one_too_many_are_one_error(tmp_path: Path, layout: Layout) -> None:
    chain = stirred(models.create(layout.name, **SMALL[layout.name]))
    with authors_class("hubert_ecg", "HuBERTECGConfig"):
        content = layout.write(dict(chain.state_dict()))
        inside = next(
            (content[key] for key in ("model", "module", "model_state_dict") if key in content),
            content,
        )
        # A bias of a middle block is used by every model and tells no dimension.
        lost = next(
            key
            for key in inside
            if re.search(r"\.1\..*(?<!_proj\.)bias$", key) and "proj_in.1." not in key
        )
        kept = {key: value for key, value in inside.items() if key != lost}
        prefix = next((p for p in ("student.", "hubert_ecg.", "backbone.", "module.")
                       if lost.startswith(p)), "")  # fmt: skip
        kept[f"{prefix}surplus.weight"] = torch.zeros(2)
        whole = kept if inside is content else {
            key: kept if value is inside else value for key, value in content.items()
        }  # fmt: skip
        torch.save(whole, tmp_path / "odd.pt")
    with pytest.raises(ModelError) as caught:
        models.load(layout.name, tmp_path / "odd.pt", **layout.options)
    message = str(caught.value)
    assert re.search(r"missing \S+\.1\.\S+bias; unexpected surplus\.weight", message), message
    assert "\n" not in message


def test_the_hubs_form_reads_the_configuration_beside_it(tmp_path: Path) -> None:
    chain = stirred(models.create("hubert_ecg", **SMALL["hubert_ecg"]))
    weights = hubert(dict(chain.state_dict()))
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(hubert_config(weights, heads=4)))
    assert equal(models.load("hubert_ecg", tmp_path / "model.safetensors"), chain, 1e-6)
    (tmp_path / "config.json").write_text(
        json.dumps({**hubert_config(weights, 4), "do_stable_layer_norm": True})
    )
    with pytest.raises(ModelError, match="do_stable_layer_norm=True: only False is known"):
        models.load("hubert_ecg", tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json is no JSON"):
        models.load("hubert_ecg", tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("stored", "options", "message"),
    [
        ({}, {"heads": 2}, "trained with heads=4, not 2"),
        ({"layer_norm_first": True}, {"norm_first": False}, "trained with norm_first=True, not"),
        ({"in_d": 1}, {}, "trained with in_d=1: only 12 is known"),
        ({"extractor_mode": "layer_norm"}, {}, "extractor_mode='layer_norm'"),
        ({"conv_feature_layers": "[(256, 10, 5)]"}, {}, "four of kernel 2"),
    ],
)
def test_ecg_fm_holds_to_its_stored_configuration(
    tmp_path: Path, stored: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    chain = stirred(models.create("ecg_fm", **SMALL["ecg_fm"]))
    torch.save(ecg_fm_training(dict(chain.state_dict()), **stored), tmp_path / "fm.pt")
    with pytest.raises(ModelError, match=message):
        models.load("ecg_fm", tmp_path / "fm.pt", **options)


def test_ecg_fm_takes_norm_order_and_heads_from_its_file(tmp_path: Path) -> None:
    chain = stirred(models.create("ecg_fm", **SMALL["ecg_fm"]))
    content = ecg_fm_training(dict(chain.state_dict()), heads=2, layer_norm_first=True)
    torch.save(content, tmp_path / "fm.pt")
    found = models.load("ecg_fm", tmp_path / "fm.pt")
    assert (found.config.heads, found.config.norm_first) == (2, True)
    assert found.stem.norm is None  # it stands behind the last block


def test_an_omegaconf_configuration_is_read_without_omegaconf(tmp_path: Path) -> None:
    chain = stirred(models.create("ecg_fm", **SMALL["ecg_fm"]))
    content = ecg_fm_training(dict(chain.state_dict()))
    with (
        authors_class("omegaconf.dictconfig", "DictConfig") as mapping,
        authors_class("omegaconf.nodes", "AnyNode") as node,
    ):

        def wrapped(value: Any) -> Any:
            made = (mapping if isinstance(value, dict) else node)()
            if isinstance(value, dict):
                made._content = {key: wrapped(entry) for key, entry in value.items()}
            else:
                made._val = value
            return made

        content["cfg"] = wrapped(content["cfg"])
        torch.save(content, tmp_path / "fm.pt")
    assert models.load("ecg_fm", tmp_path / "fm.pt").config.heads == 4


def test_dual_nets_from_before_their_positions_load(tmp_path: Path) -> None:
    chain = stirred(models.create("ecg_dualnet", **SMALL["ecg_dualnet"], positions=False))
    torch.save(dualnet(dict(chain.state_dict())), tmp_path / "best_model.pt")
    found = models.load("ecg_dualnet", tmp_path / "best_model.pt")
    assert not found.config.positions and equal(found, chain)


def test_a_short_time_table_is_stretched_only_when_asked(tmp_path: Path) -> None:
    chain = stirred(models.create("labram", **SMALL["labram"], seconds=4))
    path = tmp_path / "labram.pth"
    torch.save(pretrained_labram(dict(chain.state_dict())), path)
    electrodes = ("C3", "O2")
    with pytest.raises(ModelError, match=r"1 to 4 whole seconds .* seconds=7"):
        models.load("labram", path, electrodes=electrodes)(torch.zeros(1, 2, 1400))
    longer = models.load("labram", path, electrodes=electrodes, seconds=7)
    assert longer(torch.zeros(1, 2, 1400)).shape == (1, 15, 100)
    old, new = chain.stem.times[0], longer.stem.times[0]
    assert torch.equal(new[[0, -1]], old[[0, -1]])  # the ends stay, the rest lies between
    assert torch.allclose(new[3], old[[1, 2]].mean(0), atol=1e-6)


# -- what must not be opened --------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(CARDS)))
@pytest.mark.parametrize("place", ["among the weights", "as the configuration"])
def test_a_file_that_would_run_code_is_refused(tmp_path: Path, name: str, place: str) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    inside = {"some.weight": Trap() if place == "among the weights" else torch.zeros(1)}
    content = {
        "model": inside, "model_state_dict": inside, "state_dict": inside, "model_state": inside,
        "model_config": Trap(), "cfg": Trap(), "args": Trap(),
    }  # fmt: skip
    torch.save(content, tmp_path / "trap.pt")
    with pytest.raises(ModelError, match="cannot be read as weights alone") as caught:
        models.load(name, tmp_path / "trap.pt")
    assert not (tmp_path / "ran").exists()
    assert "weights_only" not in str(caught.value)  # torch's own advice is to run it


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_damaged_file_is_one_line(tmp_path: Path, kind: str) -> None:
    whole, broken = tmp_path / "whole", tmp_path / f"broken.{kind}"
    weights = {"a.weight": torch.ones(2, 3), "b": torch.zeros(1)}
    if kind == "safetensors":
        save_file(weights, whole, metadata={"bioxedge": '{"model": "any", "config": {}}'})
    else:
        torch.save({"model": weights}, whole, _use_new_zipfile_serialization=kind == "zip")
    raw, rng, refused = whole.read_bytes(), random.Random(0), 0
    for number in range(300):
        damaged = bytearray(raw[: rng.randrange(len(raw))] if number % 5 == 0 else raw)
        for _ in range(rng.randint(1, 4)):
            if damaged:  # the front holds the structure
                damaged[rng.randrange(min(len(damaged), 700))] = rng.randrange(256)
        broken.write_bytes(damaged)
        try:
            checkpoint.read(broken, name="any", wrappers=("model",))
        except ModelError as error:
            refused += 1
            assert "\n" not in str(error) and str(broken) in str(error)
    assert refused > 100


@pytest.mark.parametrize("about", ["", "[]", "{}", '{"model": "any", "config": 1}'])
def test_our_own_file_with_another_label_is_one_line(tmp_path: Path, about: str) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "x.safetensors", metadata={"bioxedge": about})
    with pytest.raises(ModelError, match="is damaged"):
        checkpoint.read(tmp_path / "x.safetensors", name="any")


def test_what_stands_beside_weights_is_held_and_not_made(tmp_path: Path) -> None:
    made = []

    class Loud:
        def __init__(self) -> None:
            made.append(self)

        def __setstate__(self, state: dict[str, Any]) -> None:
            made.append(state)

    Loud.__module__, Loud.__qualname__ = "argparse", "Namespace"
    real = argparse.Namespace
    argparse.Namespace = Loud  # type: ignore[misc]
    try:
        beside = Loud()
        beside.lr = 1.0
        torch.save({"model": {"w": torch.ones(1)}, "args": beside}, tmp_path / "x.pt")
        made.clear()
        found = checkpoint.read(tmp_path / "x.pt", name="any", wrappers=("model",))
    finally:
        argparse.Namespace = real  # type: ignore[misc]
    assert not made and isinstance(found.beside["args"], checkpoint.Inert)
    assert checkpoint.plain(found.beside["args"]) == {"lr": 1.0}


# -- at full size -------------------------------------------------------------------------------

FULL = {
    "labram": (Layout("labram", pretrained_labram), {}),
    "hubert small": (Layout("hubert_ecg", lambda w: hubert_training(w, 8)), {"size": "small"}),
    "hubert base": (Layout("hubert_ecg", lambda w: hubert_training(w, 12)), {"size": "base"}),
    "hubert large": (Layout("hubert_ecg", lambda w: hubert_training(w, 16)), {"size": "large"}),
    "ecg_fm": (Layout("ecg_fm", lambda w: ecg_fm_training(w, 12)), {}),
    "cbramod": (Layout("cbramod", cbramod), {}),
    "papagei": (Layout("papagei", papagei), {}),
    "normwear": (Layout("normwear", normwear_training), {}),
    "ecg_dualnet": (Layout("ecg_dualnet", dualnet), {}),
}


# The larger ones differ in numbers alone, and take a minute.
@pytest.mark.parametrize(
    "key", [key for key in FULL if ALL or key not in ("hubert base", "hubert large")]
)
def test_a_file_of_full_size_loads(tmp_path: Path, key: str) -> None:
    layout, options = FULL[key]
    chain = models.create(layout.name, **options)
    path = written(layout, chain, tmp_path / "full.pt")
    found = models.load(layout.name, path)
    assert found.config == chain.config
    assert equal(found, chain, 1e-5)
