"""The laws of every chain: what it declares, how it is cut, what it computes and exports."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import copy
import io
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from fixtures_all import some
from safetensors.torch import load_file, save_file

from bioxedge import models
from bioxedge.errors import MissingExtraError, ModelError
from bioxedge.models import checkpoint

pytestmark = pytest.mark.train

# name, options, samples that a window has, other numbers of samples that must work
CASES = {
    "papagei": ({"base_filters": 4, "blocks": 18}, 1250, (1, 2, 3, 7, 313, 500, 1249)),
    "papagei-10": ({"base_filters": 16, "blocks": 10}, 640, (641, 1001)),
    "papagei-two-channels": ({"base_filters": 6, "blocks": 6, "channels": 2}, 99, (98,)),
    "ecg_transformer": ({}, 1250, ()),
    "ecg_transformer-odd": (
        {"samples": 513, "channels": 2, "patch": 8, "width": 24, "blocks": 3, "heads": 3},
        513,
        (),
    ),
    "openecg": ({}, 5000, (10, 19, 2503, 5129)),
    "labram": (
        {"electrodes": ("cz", "Fp1", "O2"), "filters": 4, "blocks": 3, "heads": 5, "inner": 150},
        600,
        (200, 3200),
    ),
    "labram-nameless": (
        {"electrodes": ("C4",), "filters": 4, "blocks": 3, "positions": False, "scaled": False},
        400,
        (),
    ),
    "cbramod": (
        {"channels": 3, "filters": 5, "blocks": 3, "heads": 4, "inner": 56},
        600,
        (200, 1800),
    ),
    "hubert_ecg": (
        {
            "width": 32, "blocks": 3, "heads": 4, "inner": 48, "filters": (16,) * 5,
            "position_kernel": 15, "position_groups": 4,
        },
        600,
        (82, 401),
    ),
    "hubert_ecg-two-leads": (
        {
            "channels": 2, "width": 24, "blocks": 3, "heads": 3, "inner": 24, "filters": (8, 8),
            "kernels": (10, 3), "strides": (4, 2), "position_kernel": 8, "position_groups": 2,
        },
        120,
        (9, 77),
    ),
    "ecg_fm": (
        {
            "leads": ("v2", "II"), "width": 32, "blocks": 3, "heads": 4, "inner": 48,
            "filters": 8, "position_kernel": 16, "position_groups": 4,
        },
        500,
        (16, 31, 499),
    ),
    "ecg_fm-norm-first": (
        {
            "leads": ("II",), "missing": "repeat", "norm_first": True, "width": 24, "blocks": 3,
            "heads": 2, "inner": 24, "filters": 6, "position_kernel": 7, "position_groups": 2,
        },
        160,
        (),
    ),
    "normwear": (
        {"channels": 3, "width": 24, "blocks": 3, "heads": 2, "inner": 40, "scales": 16,
         "grid": (5, 3)},
        50,
        (11, 47, 80),
    ),
}  # fmt: skip
needs_openecg = pytest.mark.skipif(
    find_spec("openecg") is None, reason="openecg is not installed (it wants Python >= 3.11)"
)


def build(key: str):
    options, samples, others = CASES[key]
    torch.manual_seed(0)
    chain = models.create(key.partition("-")[0], **options)
    if chain.name == "papagei":  # statistics that are not those of a fresh norm
        with torch.no_grad():
            chain.train()(torch.randn(8, chain.channels, 2000))
    return chain.eval(), samples, others


def cases(*keys: str):
    return [pytest.param(key, marks=needs_openecg if key == "openecg" else ()) for key in keys]


@pytest.fixture(scope="module", params=cases(*CASES))
def case(request):
    return build(request.param)


def signal(chain, samples: int, batch: int = 2):
    return torch.rand(batch, chain.channels, samples, generator=torch.manual_seed(1)) * 2 - 1


def size(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def test_every_cut_is_as_declared(case):
    chain, samples, others = case
    for n in (samples, *others):
        cuts = list(chain.activations(signal(chain, n)))
        assert len(cuts) == len(chain) + 1
        for k, h in enumerate(cuts):
            assert h.shape == (2, *chain.cut(k, n)), (n, k)
            assert h.is_contiguous()


@torch.no_grad()
def test_two_halves_are_bitwise_the_whole_at_every_cut(case):
    chain, samples, _ = case
    x = signal(chain, samples)
    whole = chain(x)
    for k, h in enumerate(chain.activations(x)):
        assert torch.equal(chain[:k](x), h), k
        assert torch.equal(chain[k:](h.clone()), whole), k


@torch.no_grad()
def test_slices_of_slices_keep_the_numbers_of_the_whole(case):
    chain, samples, _ = case
    last = len(chain)
    x = signal(chain, samples)
    cuts = list(chain.activations(x))
    part = chain[1:last][2:]
    assert (part.first, part.last, len(part)) == (2, last, last - 2)
    assert torch.equal(part(cuts[2]), cuts[last])
    assert torch.equal(chain[:3][:2](x), cuts[2])
    assert torch.equal(chain[:3][1:2](cuts[1]), cuts[2])
    for a, b in zip(part.activations(cuts[2]), cuts[2:], strict=True):
        assert torch.equal(a, b)
    assert part.cut(last, samples) == chain.cut(last, samples)


@torch.no_grad()
def test_from_the_start_has_the_stem_and_from_cut_zero_has_not(case):
    chain, samples, _ = case
    x = signal(chain, samples)
    assert torch.equal(chain[:](x), chain(x))
    embedded = chain[:0](x)
    assert len(chain[:0]) == 0
    assert chain[0:].stem is None
    assert chain[0:][:2].stem is None
    assert torch.equal(chain[0:2](embedded), chain[:2](x))
    last = len(chain)
    h = chain(x)
    assert torch.equal(chain[last:](h), h)
    assert chain[last:].first == chain[last:].last == last


def test_a_slice_shares_weights_and_holds_no_others(case):
    chain, _, _ = case
    for k in range(len(chain) + 1):
        head, tail = chain[:k], chain[k:]
        assert size(head) + size(tail) == size(chain)
        ours = {id(parameter) for parameter in chain.parameters()}
        assert {id(parameter) for parameter in [*head.parameters(), *tail.parameters()]} == ours
    assert not chain[2:].training


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (slice(None, -1), "no cut -1"),
        (slice(99, None), "no cut 99: .* has cuts 0 to"),
        (slice(2, 1), "cut 2 comes after cut 1"),
        (slice(None, None, 2), "steps of 1, not 2"),
        (slice(None, 1.5), "whole number, not 1.5"),
        (1, r"chain\[1\] is not a cut"),
    ],
)
def test_what_is_no_slice_is_refused(case, part, message):
    with pytest.raises(ModelError, match=message):
        case[0][part]


def test_a_slice_refuses_cuts_it_has_not(case):
    chain, samples, _ = case
    with pytest.raises(ModelError, match=f"no cut 0: this part of {chain.name} has cuts 2 to"):
        chain[2:].cut(0, samples)
    with pytest.raises(ModelError, match="has cuts 0 to 2"):
        chain[:2][3:]
    with pytest.raises(ModelError, match="0 samples"):
        chain.cut(0, 0)


def test_a_wrong_input_is_refused(case):
    chain, samples, _ = case
    with pytest.raises(ModelError, match=rf"takes \[batch, {chain.channels}, samples\]"):
        chain(torch.zeros(1, 7, samples))
    with pytest.raises(ModelError, match=r"cut 2 of .* is \[batch, tokens, "):
        chain[2:](torch.zeros(1, 3, 5))


@torch.no_grad()
def test_input_is_not_mutated(case):
    chain, samples, _ = case
    x = signal(chain, samples)
    before = x.clone()
    cuts = list(chain.activations(x))
    kept = [h.clone() for h in cuts]
    for k, h in enumerate(cuts):
        chain[k:](h)
    assert torch.equal(x, before)
    assert all(torch.equal(a, b) for a, b in zip(cuts, kept, strict=True))


def test_gradients_wanted_or_not_the_output_is_bitwise_the_same(case):
    chain, samples, _ = case
    x = signal(chain, samples)
    with torch.no_grad():
        without = chain(x)
    assert torch.equal(chain(x).detach(), without)


def test_a_frozen_chain_stays_as_it_is_and_passes_gradients_on(case):
    chain, samples, _ = case
    chain = copy.deepcopy(chain).freeze()
    before = {key: value.clone() for key, value in chain.state_dict().items()}
    parent = torch.nn.Sequential(torch.nn.Identity(), chain[1:]).train()
    assert not any(module.training for module in parent[1].modules())
    h = chain[:1](signal(chain, samples)).requires_grad_()
    parent(h).square().mean().backward()
    assert h.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in chain.parameters())
    after = chain.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_the_whole_trains_even_after_it_was_frozen(case):
    chain, samples, _ = case
    frozen = copy.deepcopy(chain).freeze()
    assert not frozen[1:].train().training
    chain = copy.deepcopy(frozen).thaw()
    assert chain.training
    assert not frozen.training
    chain(signal(chain, samples)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in chain.parameters())


def exported(module, x) -> bytes:
    """Export as bundles do: one file, opset 18, batch 1, static."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # torch 2.13's exporter uses a part of itself that it deprecates.
        warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
        program = torch.onnx.export(
            module, (x,), dynamo=True, opset_version=18, external_data=False, verbose=False
        )
        program.save(buffer, external_data=False)
    return buffer.getvalue()


# Every model is exported in test_directions; here the two ends are looked at more closely.
@pytest.mark.parametrize("end", ["source", "tail"])
@pytest.mark.parametrize(
    "key", cases(*some(["papagei-10", "openecg", "normwear", "ecg_transformer-odd"]))
)
def test_both_ends_export_and_hold_their_own_weights_only(key, end):
    ort = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    chain, samples, _ = build(key)
    chain.freeze()
    k = len(chain) // 2
    x = signal(chain, samples, batch=1)
    module = chain[:k] if end == "source" else chain[k:]
    given = x if end == "source" else chain[:k](x)
    graph = exported(module, given)
    proto = onnx.load_from_string(graph)
    assert max(entry.version for entry in proto.opset_import if not entry.domain) == 18
    assert proto.ir_version <= 10
    held = sum(int(np.prod(weight.dims)) for weight in proto.graph.initializer)
    buffers = sum(buffer.numel() for buffer in module.buffers())
    # NormWear's wavelets and its interpolated positions are constants of the length.
    constants = 16 * (samples + 1) + 1500 if (key, end) == ("normwear", "source") else 0
    assert held <= size(module) + buffers + constants + 100  # shapes and scalars
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {session.get_inputs()[0].name: given.numpy()})
    expected = module(given).numpy()
    assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


def test_saved_and_loaded_again(case, tmp_path: Path):
    chain, samples, _ = case
    path = tmp_path / "chain.safetensors"
    digest = checkpoint.save(chain, path)
    again = models.load(chain.name, path)
    x = signal(chain, samples)
    assert torch.equal(again(x), chain(x))
    assert again.config == chain.config
    assert not again.training
    assert again.sha256 == digest == checkpoint.sha256(path) == again[1:].sha256
    with pytest.raises(ModelError, match=r"trained with blocks=\d+, not 2|no option blocks"):
        models.load(chain.name, path, blocks=2)
    other = "papagei" if chain.name != "papagei" else "ecg_transformer"
    with pytest.raises(ModelError, match=f"holds a {chain.name}, not a {other}"):
        models.load(other, path)
    with pytest.raises(ModelError, match="whole chain"):
        checkpoint.save(chain[1:], path)


# --- by name --------------------------------------------------------------------------


def test_names_are_known_and_an_unknown_one_is_told_so():
    assert models.names() == (
        "cbramod", "ecg_dualnet", "ecg_fm", "ecg_transformer", "hubert_ecg", "labram", "normwear",
        "openecg", "papagei",
    )  # fmt: skip
    with pytest.raises(ModelError, match=r"'resnet'.*papagei"):
        models.create("resnet")


@pytest.mark.parametrize("name", cases(*models.names()))
def test_an_unknown_option_is_told_the_known_ones(name):
    with pytest.raises(ModelError, match="no option depth"):
        models.create(name, depth=3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("papagei", {"blocks": 0}, "blocks is 0"),
        ("papagei", {"base_filters": -1}, "base_filters is -1"),
        ("ecg_transformer", {"heads": 5}, "5 heads do not divide"),
        ("ecg_transformer", {"patch": 7}, "patch is 7"),
        ("ecg_transformer", {"samples": 10}, "10 samples do not fill"),
        ("ecg_transformer", {"dropout": 1.0}, "dropout is 1.0"),
        ("cbramod", {"filters": 8}, "filters is 8: their norm has 5 groups"),
        ("cbramod", {"heads": 5}, "5 heads do not do"),
        ("labram", {"filters": 6}, "filters is 6"),
        ("labram", {"heads": 7}, "7 heads do not divide a width of 200"),
        ("hubert_ecg", {"strides": (4, 2)}, "5, 5 and 2: give one of each"),
        ("hubert_ecg", {"position_groups": 3}, "3 position_groups do not divide"),
        ("hubert_ecg", {"size": "huge"}, "no size 'huge': choose one of small, base, large"),
        ("ecg_fm", {"missing": "guess"}, "choose zero or repeat"),
        ("ecg_fm", {"missing": "repeat"}, "only a single lead is repeated, not 12"),
        ("ecg_fm", {"heads": 5}, "5 heads do not divide"),
        ("normwear", {"scales": 4}, "4 scales do not fill a patch of 5"),
        ("normwear", {"fuse": 0}, "fuse is 0"),
        ("ecg_dualnet", {"widths": (8,)}, "2 to 5 blocks"),
        ("ecg_dualnet", {"widths": (8, 8, 24)}, r"32 \(twice the groups\) does not divide"),
    ],
)
def test_dimensions_have_bounds(name, options, message):
    with pytest.raises(ModelError, match=message):
        models.create(name, **options)


def test_a_missing_library_names_its_extra(monkeypatch):
    def refuse(name):
        raise ModuleNotFoundError("no torch", name="torch.nn")

    monkeypatch.setattr(models, "import_module", refuse)
    with pytest.raises(MissingExtraError, match=r"bioxedge\[train\]"):
        models.create("papagei")


# --- checkpoints ----------------------------------------------------------------------


def test_one_error_names_all_that_does_not_fit(tmp_path: Path):
    weights = models.create("ecg_transformer").state_dict()
    del weights["blocks.0.norm1.bias"], weights["stem.positions"]
    weights["surplus"] = torch.zeros(1)
    weights["blocks.1.qkv.bias"] = torch.zeros(3)
    path = tmp_path / "weights.safetensors"
    save_file(weights, path)
    with pytest.raises(ModelError) as caught:
        models.load("ecg_transformer", path)
    for part in (
        "missing stem.positions, blocks.0.norm1.bias",
        "unexpected surplus",
        "blocks.1.qkv.bias [3] for [192]",
    ):
        assert part in str(caught.value)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    path = tmp_path / "trap.pt"
    torch.save({"state_dict": Trap()}, path)
    with pytest.raises(ModelError, match="weights alone"):
        models.load("papagei", path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["damaged.pt", "damaged.safetensors"])
def test_damaged_empty_and_absent_files_are_refused(tmp_path: Path, name):
    with pytest.raises(ModelError, match="No such file"):
        models.load("papagei", tmp_path / name)
    for content in (b"", b"not a checkpoint at all"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=name):
            models.load("papagei", tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ModelError, match="no state dict"):
        models.load("papagei", tmp_path / "list.pt")


# --- PaPaGei --------------------------------------------------------------------------


@pytest.fixture
def papagei_golden(shared: Path):
    return shared / "golden" / "papagei.weights.safetensors"


@pytest.mark.shared
def test_papagei_loads_wrapped_and_prefixed_files_and_drops_only_what_it_lists(
    papagei_golden: Path, tmp_path: Path
):
    from bioxedge.models.papagei import DROPPED

    weights = load_file(papagei_golden)
    path = tmp_path / "papagei.pt"
    torch.save({f"module.{key}": value for key, value in weights.items()}, path)
    chain = models.load("papagei", path, base_filters=8)
    counters = [key for key in weights if key.endswith("num_batches_tracked")]
    torch.save({"state_dict": {k: v for k, v in weights.items() if k not in counters}}, path)
    assert models.load("papagei", path, base_filters=8).sha256 == checkpoint.sha256(path)
    dropped = [key for key in weights if key.startswith(DROPPED)]
    assert len(chain.state_dict()) == len(weights) - len(dropped)
    torch.save({k: v for k, v in weights.items() if k not in dropped}, path)
    models.load("papagei", path, base_filters=8)
    torch.save(weights | {"basicblock_list.18.bn1.weight": torch.ones(8)}, path)
    with pytest.raises(ModelError, match=r"missing blocks\.18\.norm1\.bias, .*blocks\.18\.conv2"):
        models.load("papagei", path)  # a nineteenth block, of which little is there
    torch.save(weights | {"surplus": torch.ones(8)}, path)
    with pytest.raises(ModelError, match="unexpected surplus:"):
        models.load("papagei", path)
    with pytest.raises(ModelError, match="shape"):
        models.load("papagei", papagei_golden, base_filters=32)


# model, options, published parameters, what of them a chain drops, samples, tokens, features
PUBLISHED = {
    # by the authors' code; their paper says 4.0
    "cbramod": ("cbramod", {}, 4.924e6, 200 + 40_200, 6000, 19 * 30, 200),
    "labram": ("labram", {}, 5.8e6, 0, 600, 19, 200),
    "labram for ISRUC": ("labram", {"seconds": 30}, 5.8e6, 0, 6000, 181, 200),
    "hubert_ecg small": ("hubert_ecg", {"size": "small"}, 30.2e6, 512 + 128, 6000, 93, 512),
    "hubert_ecg for ISRUC": ("hubert_ecg", {}, 30.2e6, 512 + 128, 3000, 46, 512),
    "hubert_ecg base": ("hubert_ecg", {"size": "base"}, 93e6, 768 + 128, 6000, 93, 768),
    "hubert_ecg large": ("hubert_ecg", {"size": "large"}, 188e6, 960 + 128, 6000, 93, 960),
    # mask, gain, projections and a quantiser of 2 x 320 entries of 128
    "ecg_fm": ("ecg_fm", {}, 90.9e6, 768 + 128 + 262_656 + 246_400, 30_000, 1875, 768),
    "normwear": ("normwear", {"channels": 3}, 128e6, 2 * 768, 390, 1680, 768),
}


@pytest.mark.parametrize("key", PUBLISHED)
def test_published_sizes_tokens_and_features(key: str):
    name, options, published, dropped, samples, tokens, features = PUBLISHED[key]
    with torch.device("meta"):  # shapes need no numbers
        chain = models.create(name, **options)
    whole = size(chain) + dropped
    unit = 1e6 if published > 91e6 else 1e5  # as far as it was published
    assert round(whole / unit) == round(published / unit)
    cuts = [chain.cut(k, samples) for k in range(len(chain) + 1)]
    assert cuts == [(tokens, features)] * (len(chain) + 1)


def test_ecg_dualnet_has_the_published_size_and_shapes():
    with torch.device("meta"):
        chain = models.create("ecg_dualnet")
    positions = 80 * 256  # came after the published count
    classifier = 256 * 256 + 256 + 10 + 256 * 4 + 4
    assert size(chain) - positions + classifier == 8_212_658
    assert [chain.cut(k, 18_000) for k in range(6)] == [
        (563 * 33, 1), (281 * 16, 128), (140 * 8, 256), (70 * 4, 512), (35 * 2, 512), (17, 256),
    ]  # fmt: skip


def test_papagei_has_the_published_size_and_shapes():
    chain = models.create("papagei")
    unused = 2 * 32  # block 0's first norm is stored and counted, but never run
    assert size(chain[:5]) + unused == 44_288
    experts = 2 * (3 * (512 * 256 + 256 + 256 + 1) + 512 * 3 + 3)
    heads = 2 * 512 + (512 * 512 + 512) + experts
    assert size(chain) + unused + heads == 5_785_612  # 5.8 M
    assert [chain.cut(k, 7500)[::-1] for k in range(18)] == [
        *[(32, 7500)] * 2, *[(32, 3750)] * 2, (32, 1875), (64, 1875), *[(64, 938)] * 2,
        (64, 469), (128, 469), *[(128, 235)] * 2, (128, 118), (256, 118), *[(256, 59)] * 2,
        (256, 30), (512, 30),
    ]  # fmt: skip


def test_papagei_block_zero_runs_no_first_norm():
    assert models.create("papagei", base_filters=4, blocks=2).blocks[0].norm1 is None


# --- LaBraM ---------------------------------------------------------------------------


def labram(electrodes, **options):
    torch.manual_seed(0)
    size = {"filters": 4, "blocks": 2, "heads": 5, "inner": 100}
    return models.create("labram", electrodes=electrodes, **size, **options).eval()


def test_electrodes_go_by_name_and_not_by_place():
    one, other = labram(("C3", "FP1", "O2")), labram(("o2", "c3", "Fp1"))
    other.load_state_dict(one.state_dict())
    x = torch.randn(1, 3, 400)
    order = [2, 0, 1]
    mine, others = one(x)[0], other(x[:, order])[0]
    assert torch.allclose(mine[0], others[0], atol=1e-5)  # the class token saw the same
    by_electrode = mine[1:].reshape(3, 2, -1)[order]
    assert torch.allclose(by_electrode, others[1:].reshape(3, 2, -1), atol=1e-5)
    assert not torch.allclose(one(x[:, order])[0, 0], mine[0], atol=1e-3)  # the names do count


def test_electrodes_have_the_authors_rows():
    from bioxedge.models.labram import rows

    known = {
        "FP1": 1, "F3": 18, "FZ": 20, "F4": 22, "C3": 40, "CZ": 42, "C4": 44, "PZ": 64, "O1": 81,
        "OZ": 82, "O2": 83, "T3": 89, "M1": 93, "A1": 95, "P8-O2": 128,
    }  # fmt: skip
    assert rows(tuple(known)) == list(known.values())


@pytest.mark.parametrize(
    ("electrodes", "message"),
    [
        (("C3", "EEG Fp1"), "knows no electrode EEG FP1: name them as in the 10-20 system"),
        (("FP1-F3",), "knows no electrode FP1-F3.* its table ends before FP1-F3"),
        (("C3", "c3"), "named twice: C3, C3"),
        ((), "no electrodes"),
    ],
)
def test_an_electrode_without_a_row_is_refused(electrodes, message):
    with pytest.raises(ModelError, match=message):
        models.create("labram", electrodes=electrodes)


@pytest.mark.parametrize("samples", [199, 201, 3400])
def test_labram_takes_whole_seconds_up_to_its_table(samples: int):
    with pytest.raises(ModelError, match="1 to 16 whole seconds of 200 samples"):
        labram(("C3",)).cut(0, samples)


def test_microvolts_are_scaled_inside():
    chain = labram(("C3",), positions=False)
    x = torch.randn(1, 1, 200)
    patch = chain.stem.conv1(x.reshape(1, 1, 1, 200))
    seen = []
    chain.stem.conv1.register_forward_hook(lambda *call: seen.append(call[-1]))
    chain(100 * x)
    assert torch.allclose(seen[0], patch, atol=1e-6)


# --- CBraMod --------------------------------------------------------------------------


@torch.no_grad()
def test_cbramod_computes_what_its_authors_layers_compute():
    chain = build("cbramod")[0]
    stem, block = chain.stem, chain.blocks[0]
    x = 40 * signal(chain, 600)
    patches = (x / 100).reshape(2, 1, 9, 200)
    inner = torch.nn.Sequential(
        stem.conv1, stem.norm1, torch.nn.GELU(), stem.conv2, stem.norm2, torch.nn.GELU(),
        stem.conv3, stem.norm3, torch.nn.GELU(),
    )  # fmt: skip
    shape = inner(patches).permute(0, 2, 1, 3).reshape(2, 3, 3, 40)
    spectrum = torch.fft.rfft(patches, norm="forward").abs().reshape(2, 3, 3, 101)
    h = shape + stem.spectrum(spectrum)
    h = h + stem.positions(h.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    assert torch.allclose(stem(x), h, atol=1e-6)

    normed, parts = block.norm1(h), []
    for ours, part in ((block.space, normed[..., :20]), (block.time, normed[..., 20:])):
        theirs = torch.nn.MultiheadAttention(20, 2, batch_first=True)
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.load_state_dict(ours.out.state_dict())
        across = part.transpose(1, 2) if ours is block.space else part
        rows = across.reshape(6, 3, 20)
        found = theirs(rows, rows, rows, need_weights=False)[0].reshape(2, 3, 3, 20)
        parts.append(found.transpose(1, 2) if ours is block.space else found)
    h = h + torch.cat(parts, -1)
    wanted = h + block.mlp(block.norm2(h))
    assert torch.allclose(block(stem(x)), wanted, atol=1e-6)


def test_cbramod_learns_from_a_silent_second():
    chain = build("cbramod")[0].train()
    chain(torch.zeros(1, 3, 200)).square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in chain.parameters())


@torch.no_grad()
def test_channels_and_seconds_meet_in_the_halves_that_are_theirs():
    block = build("cbramod")[0].blocks[0]
    h = torch.randn(1, 3, 4, 40)
    other = h.clone()
    other[0, 1, 2] = torch.randn(40)
    moved = (block(other) - block(h)).abs().amax(-1)[0] > 1e-6
    wanted = torch.zeros(3, 4, dtype=torch.bool)
    wanted[1], wanted[:, 2] = True, True  # its channel and its second, nothing else
    assert torch.equal(moved, wanted)


# --- ECG-FM ---------------------------------------------------------------------------


def test_leads_go_by_name_and_the_others_are_zero_or_repeats():
    from bioxedge.models.ecg_fm import TWELVE_LEADS, Leads

    x = torch.randn(2, 2, 20)
    twelve = Leads(("V2", "II"), "zero")(x)
    assert torch.equal(twelve[:, TWELVE_LEADS.index("V2")], x[:, 0])
    assert torch.equal(twelve[:, TWELVE_LEADS.index("II")], x[:, 1])
    assert twelve.count_nonzero() == x.count_nonzero()
    assert torch.equal(Leads(("II",), "repeat")(x[:, :1]), x[:, :1].expand(2, 12, 20))
    assert Leads(TWELVE_LEADS, "zero")(twelve) is twelve


@pytest.mark.parametrize(
    ("leads", "message"),
    [
        (("MCL1",), "knows no lead 'MCL1': name it one of I, II, III"),
        (("II", "ii"), "name each lead of the ECG once"),
        ((), "name each lead of the ECG once"),
    ],
)
def test_a_lead_that_is_none_is_refused(leads, message):
    with pytest.raises(ModelError, match=message):
        models.create("ecg_fm", leads=leads)


# --- NormWear -------------------------------------------------------------------------


def test_positions_of_another_grid_are_interpolated_as_published():
    from torch.nn import functional

    chain = build("normwear")[0]
    for grid in ((5, 3), (4, 3), (9, 2), (2, 7)):
        table = chain.stem.positions[:, 1:].reshape(1, 5, 3, -1).permute(0, 3, 1, 2)
        wanted = functional.interpolate(table, grid, mode="bicubic", align_corners=False)
        wanted = wanted.flatten(2).transpose(1, 2)
        assert torch.allclose(chain.stem.stretched(grid), wanted, atol=1e-6)


@torch.no_grad()
def test_variables_meet_in_their_class_tokens_alone():
    chain = build("normwear")[0]
    x = signal(chain, 50, batch=1)
    other = x.clone()
    other[:, 2] = torch.randn(50)
    one, two = (chain[:1](each).reshape(3, -1, 24) for each in (x, other))
    assert torch.equal(one[:2, 1:], two[:2, 1:])  # patches of the others: untouched
    assert not torch.allclose(one[:2, 0], two[:2, 0])  # their class tokens: not


# --- ECG-DualNet ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def dualnet():
    torch.manual_seed(0)
    options = {"widths": (4, 8, 16, 16, 8), "groups": 4, "layers": 1, "inner": 16}
    return models.create("ecg_dualnet", **options).eval()


@torch.no_grad()
def test_ecg_dualnet_is_cut_as_declared_and_bitwise_the_same(dualnet):
    x = signal(dualnet, 18_000)
    cuts = list(dualnet.activations(x))
    assert len(cuts) == 6
    for k, h in enumerate(cuts):
        assert h.shape == (2, *dualnet.cut(k, 18_000)) and h.is_contiguous()
        assert torch.equal(dualnet[:k](x), h)


def test_ecg_dualnet_has_no_tail_and_says_why(dualnet):
    for part in (slice(0, None), slice(2, None), slice(1, 4), slice(5, None)):
        with pytest.raises(ModelError, match="conditioned on the raw ECG, which a bridge does not"):
            dualnet[part]


@pytest.mark.parametrize("samples", [17_999, 18_001, 9_000])
def test_ecg_dualnet_takes_a_minute_and_nothing_else(dualnet, samples: int):
    with pytest.raises(ModelError, match="takes 18000"):
        dualnet.cut(0, samples)


@torch.no_grad()
def test_ecg_dualnets_spectrogram_is_torchs(dualnet):
    x = signal(dualnet, 18_000)
    window = torch.hann_window(64)
    wanted = torch.stft(x[:, 0], 64, 32, 64, window, return_complex=True).abs()
    wanted = (wanted / window.square().sum().sqrt()).clamp_min(1e-8).log()
    found = dualnet.stem(x).image[:, 0]
    assert found.shape == (2, 563, 33)
    assert (found - wanted.transpose(1, 2)).abs().max() < 1e-2  # a logarithm near nothing
    assert (found - wanted.transpose(1, 2)).abs().mean() < 1e-5


def test_a_pade_unit_starts_as_a_leaky_relu():
    from bioxedge.models.ecg_dualnet import Pade

    x = torch.linspace(-3, 3, 200)
    off = Pade()(x) - torch.nn.functional.leaky_relu(x, 0.01)
    assert off.abs().max() < 0.1


# --- cards ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", cases(*models.names()))
def test_a_card_and_its_model_agree_on_what_is_taken(name: str):
    contract = models.card(name).contract
    with torch.device("cpu" if name == "openecg" else "meta"):
        chain = models.create(name)
    assert chain.origin == models.card(name).origin and chain.licence == models.card(name).licence
    assert len(chain) == models.card(name).sizes[0].blocks
    if name == "ecg_transformer":  # made for one length, whichever it is told
        return
    taken = [contract.shortest, *([contract.longest] if contract.longest else [])]
    for samples in taken:
        assert chain.cut(len(chain), samples).tokens >= 1
    refused = [contract.shortest - 1, *([contract.longest + 1] if contract.longest else [])]
    if contract.multiple > 1:
        refused.append(contract.shortest + 1)
    for samples in refused:
        with pytest.raises(ModelError):
            chain.cut(0, samples)


@pytest.mark.parametrize("name", models.names())
def test_every_published_size_can_be_made(name: str):
    for published in models.card(name).sizes:
        if name == "openecg":  # carries its own
            continue
        with torch.device("meta"):
            chain = models.create(name, size=published.name)
        assert len(chain) == published.blocks
        assert size(chain) / 1e6 == pytest.approx(published.millions, rel=0.2)


# --- ECG transformer ------------------------------------------------------------------


def test_ecg_transformer_refuses_another_length():
    chain = models.create("ecg_transformer")
    assert chain.cut(4, 1250) == (62, 64)
    for refused in (lambda: chain(torch.zeros(1, 1, 1249)), lambda: chain.cut(0, 1249)):
        with pytest.raises(ModelError, match=r"1249 samples do not fit.*created for 1250"):
            refused()


def test_dropout_speaks_in_training_only():
    chain = models.create("ecg_transformer", dropout=0.5)
    x = signal(chain, 1250)
    assert not torch.equal(chain(x), chain(x))
    chain.eval()
    assert torch.equal(chain(x), chain(x))


# --- OpenECG --------------------------------------------------------------------------


@needs_openecg
def test_openecg_is_the_package_s_own_model():
    import openecg
    from openecg.stage2.model_variants import FrameClassifierTransformerSampleResConvTokMH1Ch

    from bioxedge.models.openecg import packaged

    stored = torch.load(packaged(), weights_only=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        theirs = FrameClassifierTransformerSampleResConvTokMH1Ch(
            patch_size=10, d_model=128, n_heads=4, n_layers=8, ff=256, use_lead_emb=False
        ).eval()
    theirs.load_state_dict(stored["model_state"])
    seen = []
    theirs.upper_transformer.register_forward_hook(lambda *call: seen.append(call[-1]))

    rng = np.random.default_rng(0)
    beat = np.exp(-0.5 * ((np.arange(5000) % 410 - 200) / 8) ** 2) + 0.05 * rng.normal(size=5000)
    x = torch.from_numpy(np.asarray(openecg.rank_normalize(beat), np.float32))[None]
    frame, _, _ = theirs(x, torch.zeros(1, dtype=torch.long))  # with gradients: no fast path

    chain = models.create("openecg")
    assert (chain.first, chain.last, chain.channels, chain.training) == (0, 8, 1, False)
    assert [chain.cut(k, 5000) for k in range(9)] == [(500, 128)] * 9
    ours = chain(x[:, None])
    assert (ours - seen[0]).abs().max() <= 1e-6 * seen[0].abs().max()
    h = ours.transpose(1, 2).repeat_interleave(10, dim=2)
    logits = theirs.head_sample((h + theirs.refine(h)).transpose(1, 2))
    assert (logits - frame).abs().max() <= 1e-5 * frame.abs().max()


@needs_openecg
def test_openecg_loads_by_path_and_bare():
    from bioxedge.models.openecg import packaged

    by_name, by_path = models.load("openecg", "pip:openecg"), models.load("openecg", packaged())
    assert by_name.sha256 == by_path.sha256 == checkpoint.sha256(packaged())
    bare = models.create("openecg", pretrained=False)
    assert bare.sha256 is None
    assert not torch.equal(bare.blocks[0].conv.weight, by_name.blocks[0].conv.weight)


@needs_openecg
def test_openecg_refuses_other_architectures_and_lengths(tmp_path: Path):
    torch.save({"model_state": {}, "model_config": {"arch": "mamba"}}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match="architecture 'mamba'"):
        models.load("openecg", tmp_path / "other.pt")
    for samples in (9, 5130):
        with pytest.raises(ModelError, match="10 to 5129"):
            models.create("openecg").cut(0, samples)
