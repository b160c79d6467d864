"""The wheel holds everything, and speaks where nothing else of the checkout is."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("emovoice", "ar_tts", "diffusion", "vocoders", "checkpoints", "app")
DATA = {".safetensors", ".json", ".md", ".tsv", ".txt", ".flac", ".typed"}
NO_COPY = shutil.ignore_patterns("__pycache__", "*.pyc", "*.partial", "*.egg-info")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def contents(root: Path) -> set[str]:
    """What of the packages must be in the wheel: all Python, and all data of the kinds that we ship."""
    return {
        path.relative_to(root).as_posix()
        for package in PACKAGES
        for path in (root / package).rglob("*")
        if path.is_file() and (path.suffix == ".py" or path.suffix in DATA or path.name == "py.typed")
    }


def run(*command: str | Path, cwd: Path, timeout: int = 300) -> str:
    """Run, without this checkout on any path, and return standard output."""
    hidden = {"PYTHONPATH", "EMOVOICE_MODEL", "VIRTUAL_ENV"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is built: building in the checkout would leave files that a later wheel picks up."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, copy / name)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=NO_COPY)
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps")
    run(*pip, "--no-build-isolation", "--wheel-dir", target, ".", cwd=source)
    (built,) = target.glob("emovoice-*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment with the wheel in it; its dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("elsewhere")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "env", cwd=folder)
    programs = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", programs / "python")
    run(*pip, "install", "--no-deps", "--no-index", "--no-compile", wheel, cwd=folder)
    # Only now, so that pip does not see the emovoice of this environment and take it for the one to replace.
    # The .pth files of that folder are not read through ours, so an editable install stays out of sight too.
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = run(programs / "python", "-c", where, cwd=folder)
    ours = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (Path(site.strip()) / "borrowed.pth").write_text("\n".join(ours) + "\n")
    return programs


def test_the_wheel_holds_code_weights_voices_and_data(source: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        assert archive.testzip() is None
    assert sorted(contents(source) - inside) == []
    assert "emovoice/py.typed" in inside


def test_the_wheel_holds_nothing_else(source: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert sorted(set(names) - contents(source)) == []


def test_every_folder_with_code_is_a_package(source: Path) -> None:
    """setuptools leaves a folder without __init__.py out, and what is in it with it."""
    folders = {(source / name).parent for name in contents(source) if name.endswith(".py")}
    assert sorted(str(folder) for folder in folders if not (folder / "__init__.py").exists()) == []


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (info,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = archive.read(f"{info}/METADATA").decode()
        scripts = archive.read(f"{info}/entry_points.txt").decode()
        licences = {Path(name).name for name in archive.namelist() if name.startswith(f"{info}/licenses/")}
    assert "License-Expression: Apache-2.0" in metadata
    assert "emovoice = emovoice.cli:main" in scripts
    assert licences == {"LICENSE", "NOTICE"}


def test_it_speaks_elsewhere(elsewhere: Path, tmp_path: Path) -> None:
    """With the embedded model; with the debug model as long as the tree holds no weights of it."""
    weights = [p for p in (ROOT / "checkpoints").rglob("*.safetensors") if p.parent.name != "voices"]
    model = "mini" if weights else "debug"
    home = run(elsewhere / "python", "-c", "import emovoice; print(emovoice.__file__)", cwd=tmp_path).strip()
    assert Path(home).is_relative_to(elsewhere.parent)
    say = (elsewhere / "emovoice", "say", "Out of the box it speaks.", "-o", "out.wav", "--model", model)
    report = json.loads(run(*say, "--json", cwd=tmp_path))
    code = "import soundfile as s; x, r = s.read('out.wav'); print(len(x) / r, r, abs(x).max())"
    seconds, rate, peak = map(float, run(elsewhere / "python", "-c", code, cwd=tmp_path).split())
    assert rate == 24000
    assert 0.3 < seconds < 20
    assert abs(seconds - report["duration_s"]) < 0.01
    assert peak > 0.001
