"""Converting, reading and checking model folders in the published layout."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from emovoice.cli import main
from emovoice.errors import InputError, ModelError, OutputError
from emovoice.hub import check, convert, published, shapes
from emovoice.hub.parts import open_part
from emovoice.hub.registry import Model, PartFiles, guess, model
from tests.hub import published as writer

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("campplus", "w2v_stats", "speaker_bank", "emotion_bank")


@pytest.fixture(scope="module")
def values() -> dict[str, dict[str, torch.Tensor]]:
    """Every part of indextts-2: the small ones as large as published, a few tensors of the others."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for part, files in model("indextts-2").parts.items():
        listed = shapes.expected(files.shapes)
        small = {name: shape for name, shape in listed.items() if part in SMALL or sum(shape) < 300}
        found[part] = {
            name: torch.randn(shape, generator=generator)
            if not name.endswith(("num_batches_tracked", "input_pos")) else torch.ones(shape, dtype=torch.int64)
            for name, shape in small.items()
        }  # fmt: skip
        assert found[part]
    return found


@pytest.fixture
def folder(tmp_path: Path, values: dict[str, dict[str, torch.Tensor]]) -> Path:
    writer.write(tmp_path, model("indextts-2"), values)
    return tmp_path


def parts_to_convert() -> list[str]:
    return [part for part, files in model("indextts-2").parts.items() if files.convert]


def test_converted_values_are_the_published_ones(folder: Path, values: dict[str, dict[str, torch.Tensor]]) -> None:
    rows = {row.part: row for row in convert.convert(folder)}
    assert set(rows) == set(parts_to_convert())
    assert {row.part for row in rows.values() if row.state == "already safetensors"} == {"codec", "w2v_bert"}
    for part in rows:
        opened = open_part(folder, part)
        assert set(opened) == set(values[part])
        for name, tensor in values[part].items():
            assert torch.equal(opened[name], tensor) and opened[name].dtype == tensor.dtype, name
    assert rows["s2mel"].dropped == 1  # the optimizer's
    written = [row.path for row in rows.values() if row.state == "written"]
    assert all(set(load_file(path)) for path in written)  # the library reads what we write


def test_names_lose_their_wrappers_and_prefixes(folder: Path) -> None:
    names = published.header(folder / "s2mel.pth")
    assert all(name.startswith(("cfm.estimator.", "length_regulator.", "gpt_layer.")) for name in names.shapes)
    assert names.ignored == 1
    assert set(published.header(folder / "feat1.pt").shapes) == {"tensor"}


def test_again_is_nothing_to_do_until_something_changes(folder: Path) -> None:
    convert.convert(folder)
    before = {path: path.stat().st_mtime_ns for path in (folder / convert.FOLDER).iterdir()}
    assert {row.state for row in convert.convert(folder)} == {"already converted", "already safetensors"}
    assert before == {path: path.stat().st_mtime_ns for path in (folder / convert.FOLDER).iterdir()}
    os.utime(folder / "gpt.pth", ns=(1, 1))
    assert {row.part for row in convert.convert(folder) if row.state == "written"} == {"t2s"}
    half = {row.part: row.state for row in convert.convert(folder, precision="fp16", only=["t2s", "feat"][:1])}
    assert half == {"t2s": "written"}
    assert convert.convert(folder, only=["campplus"], force=True)[0].state == "written"
    (folder / "gpt.pth").unlink()  # converted: the published file may go
    assert convert.convert(folder, only=["t2s"])[0].state == "already converted"


@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_precision(
    folder: Path, values: dict[str, dict[str, torch.Tensor]], precision: convert.Precision, dtype: torch.dtype
) -> None:
    convert.convert(folder, precision=precision)
    for part in parts_to_convert():
        opened = open_part(folder, part)
        for name, tensor in values[part].items():
            stored = tensor.to(dtype) if tensor.is_floating_point() and part not in SMALL[1:] else tensor
            assert torch.equal(opened[name], stored), (part, name)


def test_numbers_too_large_for_fp16(folder: Path, values: dict[str, dict[str, torch.Tensor]]) -> None:
    name = "perceiver_encoder.latents"
    torch.save({name: torch.full((32, 1280), 1e6)}, folder / "gpt.pth")
    with pytest.raises(ModelError, match="too large for fp16") as caught:
        convert.convert(folder, precision="fp16", only=["t2s"])
    assert name in str(caught.value) and not convert.target(folder, "t2s").exists()
    assert list((folder / convert.FOLDER).iterdir()) == []
    convert.convert(folder, precision="bf16", only=["t2s"])


def test_odd_tensors_survive(tmp_path: Path) -> None:
    """Empty, without axes, transposed, of all kinds, sharing memory, and of odd length between wide ones."""
    base = torch.arange(35, dtype=torch.float32).reshape(5, 7)
    tensors = {
        "empty": torch.zeros(0, 4), "scalar": torch.tensor(3, dtype=torch.int64), "turned": base.T,
        "half": torch.ones(3, dtype=torch.float16), "byte": torch.arange(5, dtype=torch.uint8), "row": base[2],
        "wide": torch.ones(2, dtype=torch.float64), "yes": torch.tensor([True, False, True]),
    }  # fmt: skip
    dtypes = {name: tensor.dtype for name, tensor in tensors.items()}
    calls: list[tuple[int, int]] = []
    size = convert.write_safetensors(
        tmp_path / "x.safetensors", tensors, dtypes, {"a": "b"}, lambda done, total: calls.append((done, total))
    )
    assert size == (tmp_path / "x.safetensors").stat().st_size
    loaded = load_file(tmp_path / "x.safetensors")
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items()) and set(loaded) == set(tensors)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls) and calls[-1][0] == calls[-1][1]


def test_files_from_before_archives(folder: Path, values: dict[str, dict[str, torch.Tensor]]) -> None:
    path = folder / "hf_cache/campplus_cn_common.bin"
    torch.save(values["campplus"], path, _use_new_zipfile_serialization=False)
    convert.convert(folder, only=["campplus"])
    assert torch.equal(open_part(folder, "campplus")["head.conv1.weight"], values["campplus"]["head.conv1.weight"])


# ---- hostile and damaged files -------------------------------------------------------------------


class Bomb:
    """Runs a program when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


def hostile(path: Path, kind: str, marker: Path) -> None:
    if kind == "archive":
        torch.save({"model": {"a": torch.zeros(2)}, "extra": Bomb(marker)}, path)
    elif kind == "old":
        torch.save({"a": Bomb(marker)}, path, _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(pickle.dumps(Bomb(marker), protocol=2))


@pytest.mark.parametrize("kind", ["archive", "old", "bare"])
def test_a_pickle_is_never_run(folder: Path, tmp_path: Path, kind: str) -> None:
    marker = tmp_path / "was-run"
    hostile(folder / "gpt.pth", kind, marker)
    pickle.loads(pickle.dumps(Bomb(marker)))
    assert marker.exists()  # the bomb is real
    marker.unlink()
    with pytest.raises(ModelError, match="nothing of it was run"):
        convert.convert(folder)
    (state,) = [part for part in check.check(folder).parts if part.part == "t2s"]
    assert not state.ok and "nothing of it was run" in state.error
    assert not marker.exists() and not convert.target(folder, "t2s").exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "no tensors", "others"])
def test_damaged_files(folder: Path, damage: str) -> None:
    path = folder / "gpt.pth"
    content = {"cut": path.read_bytes()[:-500], "empty": b"", "text": b"<html>not found</html>"}
    if damage in content:
        path.write_bytes(content[damage])
    else:
        torch.save({"epoch": 3} if damage == "no tensors" else {"something": torch.zeros(2)}, path)
    with pytest.raises(ModelError):
        convert.convert(folder)
    assert not check.check(folder).ok


def test_half_a_converted_file_does_not_pass(folder: Path) -> None:
    convert.convert(folder)
    path = convert.target(folder, "t2s")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ModelError, match="cannot be read"):
        open_part(folder, "t2s")
    assert {row.part for row in convert.convert(folder) if row.state == "written"} == {"t2s"}


def test_no_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(OutputError, match="are free"):
        convert.convert(folder)


def test_wrong_requests(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="precision"):
        convert.convert(folder, precision="int4")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no such part"):
        convert.convert(folder, only=["qwen"])
    with pytest.raises(InputError, match="no such part"):
        open_part(folder, "nothing")
    with pytest.raises(ModelError, match="not converted yet"):
        open_part(folder, "t2s")
    with pytest.raises(ModelError, match="no published model"):
        guess(tmp_path / "hf_cache")
    (folder / "gpt.pth").unlink()
    with pytest.raises(ModelError, match=r"missing: gpt\.pth"):
        convert.convert(folder)
    with pytest.raises(ModelError, match=r"gpt\.pth is missing"):
        open_part(folder, "t2s")


def test_a_tensor_at_a_time(tmp_path: Path) -> None:
    """Converting 256 MB, in 64 MB tensors, to fp16 takes less than a tensor of memory that is not the file's."""
    if not Path("/proc/self/status").exists():
        pytest.skip("reads /proc/self/status")
    code = """
        import json, sys, threading, time
        from pathlib import Path
        import torch
        from emovoice.hub import convert, published
        def anonymous_kb():
            rows = dict(row.split(":", 1) for row in Path("/proc/self/status").read_text().splitlines())
            return int(rows["RssAnon"].split()[0])
        path, out = Path(sys.argv[1]), Path(sys.argv[2])
        warm = torch.zeros(2**22).to(torch.float16).float()
        del warm
        before, peak, done = anonymous_kb(), 0, threading.Event()
        def watch():
            global peak
            while not done.is_set():
                peak = max(peak, anonymous_kb())
                time.sleep(0.001)
        thread = threading.Thread(target=watch); thread.start()
        found = published.read_pickled(path).tensors
        convert.write_safetensors(out, found, {name: torch.float16 for name in found}, {})
        done.set(); thread.join()
        print(json.dumps({"mb": (peak - before) / 1024}))
    """
    torch.save({"model": {f"t{index}": torch.zeros(2**24) for index in range(4)}}, tmp_path / "big.pth")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "big.pth"), str(tmp_path / "big.safetensors")],
        capture_output=True, text=True, timeout=100, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "big.safetensors").stat().st_size > 128 * 2**20
    assert json.loads(done.stdout)["mb"] < 60


# ---- reading into modules ------------------------------------------------------------------------


class Small(nn.Module):
    """Parameters, a buffer in the file, and one that only the module knows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 3, 5)
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("filter", torch.ones(2))


def one_part(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """A folder whose part campplus holds these."""
    dtypes = {name: tensor.dtype for name, tensor in tensors.items()}
    (folder / convert.FOLDER).mkdir(exist_ok=True)
    convert.write_safetensors(convert.target(folder, "campplus"), tensors, dtypes, {})


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_filling_a_module_that_was_built_without_values(folder: Path, dtype: torch.dtype | None) -> None:
    origin = Small()
    stored = {f"net.{name}": tensor for name, tensor in origin.state_dict().items() if name != "filter"}
    one_part(folder, {**stored, "net.unused": torch.zeros(9), "other": torch.zeros(1)})
    with torch.device("meta"):
        module = Small()
    module.filter = torch.full((2,), 0.5)  # computed by the module, as filters and tables are
    report = open_part(folder, "campplus").fill(module, prefix="net", dtype=dtype)
    assert report.ok and report.extra == 1 and report.recomputed == 1
    for name, tensor in origin.state_dict().items():
        filled = module.state_dict()[name]
        wanted = torch.full((2,), 0.5) if name == "filter" else tensor
        kind = dtype if dtype and tensor.is_floating_point() else tensor.dtype
        assert filled.dtype == kind and torch.equal(filled, wanted.to(kind)), name
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_a_module_that_does_not_fit(folder: Path) -> None:
    one_part(folder, {"conv.weight": torch.zeros(3, 4, 7), "conv.bias": torch.zeros(3), "filter": torch.ones(2)})
    with pytest.raises(ModelError) as caught:
        open_part(folder, "campplus").fill(Small())
    assert "4 missing (norm.weight, norm.bias, norm.running_mean, norm.running_var)" in caught.value.what
    assert "conv.weight is [3, 4, 7] and should be [3, 4, 5]" in caught.value.what


def test_a_buffer_without_values_is_found(folder: Path) -> None:
    stored = {name: tensor for name, tensor in Small().state_dict().items() if name != "filter"}
    one_part(folder, stored)
    with torch.device("meta"):
        module = Small()
    with pytest.raises(ModelError, match="neither in the file nor computed"):
        open_part(folder, "campplus").fill(module)


# ---- checking ------------------------------------------------------------------------------------


def tiny_model() -> Model:
    """indextts-2 with the parts that are small enough to be written whole."""
    whole = model("indextts-2")
    parts = {part: whole.parts[part] for part in SMALL} | {"codec": whole.parts["codec"]}
    return Model(whole.name, whole.title, whole.tokenizer, whole.sources, parts)


@pytest.fixture
def complete(tmp_path: Path) -> Path:
    small = tiny_model()
    generator = torch.Generator().manual_seed(1)
    values = {part: writer.tensors(files.shapes, generator) for part, files in small.parts.items()}
    writer.write(tmp_path, small, values)
    return tmp_path


def test_a_complete_folder_passes_before_and_after_converting(complete: Path) -> None:
    checked = check.check(complete, tiny_model())
    assert checked.ok and set(checked.unconverted) == set(SMALL)
    convert.convert(complete, tiny_model(), precision="fp16")
    checked = check.check(complete, tiny_model())
    assert checked.ok and checked.unconverted == ()
    assert {part.part: part.dtypes for part in checked.parts}["campplus"] == ("float16", "int64")
    (complete / "feat1.pt").unlink()
    assert check.check(complete, tiny_model()).ok
    assert json.loads(json.dumps(checked.as_json()))["ok"] is True


def test_what_is_wrong_is_named(complete: Path) -> None:
    path = complete / "hf_cache/campplus_cn_common.bin"
    tensors = torch.load(path, weights_only=True)
    del tensors["head.conv1.weight"]
    tensors["xvector.dense.linear.weight"] = torch.zeros(192, 512, 1)
    tensors["not.ours"] = torch.zeros(1)
    torch.save(tensors, path)
    (complete / "s2mel.pth").unlink()
    checked = check.check(complete, tiny_model())
    assert not checked.ok
    assert [file.path for file in checked.files if not file.ok] == ["s2mel.pth"]
    (part,) = [part for part in checked.parts if not part.ok]
    assert part.report is not None and part.report.missing == ("head.conv1.weight",)
    assert part.report.wrong == (("xvector.dense.linear.weight", (192, 512, 1), (192, 1024, 1)),)
    assert part.report.extra == 1


def test_sums_are_compared_when_asked_to(complete: Path) -> None:
    path = complete / "config.yaml"
    record = {"files": {"config.yaml": {"bytes": 1, "sha256": check.sha256_of(path)}}}
    (complete / check.RECORD).write_text(json.dumps(record))
    assert check.check(complete, tiny_model(), hashes=True).ok
    path.write_bytes(b"y")
    assert check.check(complete, tiny_model()).ok
    state = {file.path: file.state for file in check.check(complete, tiny_model(), hashes=True).files}
    assert state["config.yaml"] == "wrong sum"
    path.write_bytes(b"longer")
    state = {file.path: file.state for file in check.check(complete, tiny_model()).files}
    assert state["config.yaml"] == "wrong size"


def test_the_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "check", str(folder)]) == 4
    out, err = capsys.readouterr()
    assert "part t2s (gpt.pth):" in out and "missing (conditioning_encoder" in out and "not complete" in err
    assert main(["models", "convert", str(folder), "--precision", "bf16", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["parts"]
    assert {row["part"] for row in rows} == set(parts_to_convert())
    assert main(["models", "convert", str(folder)]) == 0
    assert "campplus" in capsys.readouterr().out
    assert main(["models", "check", str(folder), "--json"]) == 4
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False and {part["part"] for part in answer["parts"]} == set(model("indextts-2").parts)
    assert main(["models", "check", str(folder / "nowhere")]) == 4
    assert main(["models", "convert", str(folder), "--part", "t2x"]) == 2
    assert isinstance(model("indextts-2").parts["t2s"], PartFiles)


@pytest.mark.parametrize("name", ["indextts-2", "indextts-2.5"])
def test_all_published_shapes_pass_in_the_published_wrapping(tmp_path: Path, name: str) -> None:
    """Full size, without the room: tensors that repeat one number are stored as one."""
    whole = model(name)
    parts = {part: files for part, files in whole.parts.items() if not files.files[0].endswith(".safetensors")}
    pickled = Model(whole.name, whole.title, whole.tokenizer, whole.sources, parts)
    generator = torch.Generator().manual_seed(2)
    values = {part: writer.tensors(files.shapes, generator, most=1000) for part, files in parts.items()}
    writer.write(tmp_path, pickled, values)
    assert guess(tmp_path) is whole
    checked = check.check(tmp_path, pickled)
    assert checked.ok, checked.as_json()
    assert {part.part: part.report.found for part in checked.parts if part.report} == {
        part: len(shapes.expected(files.shapes)) for part, files in parts.items()
    }
