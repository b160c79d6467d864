"""Who may import whom, what `import emovoice` may cost, and calls that no file may hold.

All is read from syntax trees. Every rule is also shown a planted violation: a check that cannot fail is
worth nothing.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LEAVES = ("ar_tts", "diffusion", "vocoders", "checkpoints")
MAY_IMPORT = {
    "app": {"app", "emovoice"},
    "emovoice": {"emovoice", *LEAVES},
    **{leaf: {leaf} for leaf in LEAVES},
}
HEAVY = {
    "torch",
    "torchaudio",
    "gradio",
    "numba",
    "transformers",
    "scipy",
    "vocos",
    "onnxruntime",
    "hibari",
    "librosa",
}
LIGHT = ("emovoice", "emovoice.cli")  # `emovoice --help` imports these and must come within a second
UNPICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
NOT_OURS = {"build", "dist", "out", "runs", "corpus", "node_modules"}


# ---- reading the tree ----------------------------------------------------------------------------


def python_files(root: Path = ROOT) -> Iterator[Path]:
    """Every Python file of the checkout, relative to `root`, without hidden and built folders."""
    for folder, below, files in os.walk(root):
        top = Path(folder) == root
        below[:] = sorted(
            name
            for name in below
            if not name.startswith(".")
            and name != "__pycache__"
            and not name.endswith(".egg-info")
            and not (top and name in NOT_OURS)
        )
        yield from (Path(folder, name).relative_to(root) for name in sorted(files) if name.endswith(".py"))


def module_name(path: Path) -> str:
    """emovoice/cli/__init__.py -> emovoice.cli"""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def dotted(node: ast.expr) -> str:
    """`a.b.c` as text, "" for anything that is not a plain dotted name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (head := dotted(node.value)):
        return f"{head}.{node.attr}"
    return ""


def imported_by(node: ast.AST, path: Path) -> list[str]:
    """Full names that one node imports: `from a import b` gives a and a.b, since b may be a module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = [*path.parent.parts][: len(path.parent.parts) - (node.level - 1)]
            base = ".".join([*package, *([base] if base else [])])
        return [base, *(f"{base}.{alias.name}" for alias in node.names)]
    if isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] in ("import_module", "__import__"):
        texts = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
        return [text for text in texts if isinstance(text, str)]
    return []


def at_module_level(tree: ast.Module) -> Iterator[ast.AST]:
    """Nodes that run when the module is imported: not the bodies of functions, not `if TYPE_CHECKING:`."""
    waiting: list[ast.AST] = [*tree.body]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and dotted(node.test).split(".")[-1] == "TYPE_CHECKING":
            waiting.extend(node.orelse)
            continue
        waiting.extend(ast.iter_child_nodes(node))


# ---- the rules -----------------------------------------------------------------------------------


def wrong_directions(source: str, path: Path) -> list[str]:
    """Imports against app -> emovoice -> leaves. Tests may import everything."""
    room = path.parts[0]
    if room not in MAY_IMPORT:
        return []
    known = {*MAY_IMPORT, "tests"}
    return [
        f"{path}:{getattr(node, 'lineno', 0)} {room} imports {name}"
        for node in ast.walk(ast.parse(source))
        for name in sorted({name.split(".")[0] for name in imported_by(node, path)})
        if name in known and name not in MAY_IMPORT[room]
    ]


def strangers(paths: list[Path]) -> list[str]:
    """Top-level folders that hold Python and belong to no room: a new one must be given its place."""
    tops = {path.parts[0] for path in paths if len(path.parts) > 1}
    return sorted(tops - {*MAY_IMPORT, "tests"})


def heavy_imports(start: str, sources: dict[str, tuple[Path, str]]) -> list[str]:
    """Chains of imports at module level that lead from our module `start` to a heavy package.

    sources: module name -> (path, text) of every file of ours. A chain reads "emovoice > emovoice.x > torch".
    """
    found, seen, waiting = [], {start}, [(start, start)]
    while waiting:
        name, chain = waiting.pop()
        path, text = sources[name]
        for node in at_module_level(ast.parse(text)):
            for target in imported_by(node, path):
                if target.split(".")[0] in HEAVY:
                    found.append(f"{chain} > {target}")
                # importing a.b.c runs a and a.b as well
                parts = target.split(".")
                for ours in (".".join(parts[: i + 1]) for i in range(len(parts))):
                    if ours in sources and ours not in seen:
                        seen.add(ours)
                        waiting.append((ours, f"{chain} > {ours}"))
    return found


def is_constant(node: ast.expr | None, *values: object) -> bool:
    """Whether `node` is written out as one of `values`; an absent argument counts as None."""
    return (node is None and None in values) or (isinstance(node, ast.Constant) and node.value in values)


def risky_call(node: ast.Call, loads_of_torch: set[str]) -> str | None:
    """What is wrong with one call, None for nothing."""
    name = dotted(node.func)
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    if name in ("eval", "exec", "builtins.eval", "builtins.exec"):
        return f"{name}()"
    if name in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"):
        return f"{name}() goes through a shell"
    if not is_constant(keywords.get("shell"), None, False):
        return "shell=True"
    if is_constant(keywords.get("allow_pickle"), True):
        return "allow_pickle=True"
    if name in loads_of_torch and not is_constant(keywords.get("weights_only"), True):
        return "torch.load without weights_only=True"
    return None


def risks(source: str, path: Path) -> list[str]:
    """Unpickling, shells and eval in one file. Tests may pickle (to show that our values survive it)."""
    tree = ast.parse(source)
    found, loads_of_torch = [], {"torch.load"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            loads_of_torch |= {f"{a.asname}.load" for a in node.names if a.name == "torch" and a.asname}
        if isinstance(node, ast.ImportFrom) and node.module == "torch":
            loads_of_torch |= {alias.asname or alias.name for alias in node.names if alias.name == "load"}
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            shells = {alias.name for alias in node.names} & {"system", "popen"}
            found += [f"{path}:{node.lineno} os.{name}" for name in sorted(shells)]
        names = {name.split(".")[0] for name in imported_by(node, path)}
        if path.parts[0] != "tests" and (bad := names & UNPICKLING):
            found.append(f"{path}:{getattr(node, 'lineno', 0)} imports {', '.join(bad)}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (what := risky_call(node, loads_of_torch)):
            found.append(f"{path}:{node.lineno} {what}")
    return found


# ---- the checkout --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files() -> dict[Path, str]:
    return {path: (ROOT / path).read_text(encoding="utf-8") for path in python_files()}


def test_the_walk_sees_the_rooms(files: dict[Path, str]) -> None:
    assert {path.parts[0] for path in files} >= {*MAY_IMPORT, "tests"}
    assert Path("tests/test_layers.py") in files


def test_imports_go_one_way(files: dict[Path, str]) -> None:
    assert [row for path, text in files.items() for row in wrong_directions(text, path)] == []


def test_every_folder_with_python_has_its_place(files: dict[Path, str]) -> None:
    assert strangers(list(files)) == []


@pytest.mark.parametrize("start", LIGHT)
def test_the_entrance_is_light(start: str, files: dict[Path, str]) -> None:
    sources = {module_name(path): (path, text) for path, text in files.items()}
    assert start in sources, f"{start} is gone; is LIGHT out of date?"
    assert heavy_imports(start, sources) == []


def test_the_entrance_is_light_in_a_real_process() -> None:
    """What reading the sources cannot see: an import that a third package brings."""
    code = f"import emovoice, emovoice.cli, sys; print(sorted({HEAVY!r} & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_nothing_unpickles_or_goes_through_a_shell(files: dict[Path, str]) -> None:
    assert [row for path, text in files.items() for row in risks(text, path)] == []


# ---- the rules, shown what they must catch -------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("vocoders/a.py", "import emovoice"),
        ("vocoders/a.py", "def f():\n    from emovoice.audio import Audio"),
        ("ar_tts/sub/a.py", "from diffusion import solver"),
        ("diffusion/a.py", "import importlib\nimportlib.import_module('ar_tts.model')"),
        ("checkpoints/a.py", "import app.main"),
        ("emovoice/a.py", "from app import main"),
        ("emovoice/a.py", "import tests.conftest"),
        ("app/a.py", "import json, ar_tts"),
    ],
)
def test_a_wrong_direction_is_caught(path: str, source: str) -> None:
    assert len(wrong_directions(source, Path(path))) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("app/a.py", "import emovoice"),
        ("emovoice/a.py", "import ar_tts, diffusion, vocoders, checkpoints, torch"),
        ("vocoders/a.py", "from . import b\nfrom .b import c\nfrom vocoders import d"),
        ("tests/a.py", "import app, emovoice, vocoders"),
    ],
)
def test_a_right_direction_passes(path: str, source: str) -> None:
    assert wrong_directions(source, Path(path)) == []


def test_a_stranger_is_caught() -> None:
    paths = ["utils/a.py", "setup.py", "app/a.py", "tests/a.py"]
    assert strangers([Path(path) for path in paths]) == ["utils"]


@pytest.mark.parametrize(
    ("start", "between", "chain"),
    [
        ("import torch", "", "p > torch"),
        ("try:\n    import numba\nexcept ImportError:\n    numba = None", "", "p > numba"),
        ("class A:\n    import scipy.signal", "", "p > scipy.signal"),
        ("from p import q", "import gradio", "p > p.q > gradio"),
        ("from .q import f", "import transformers", "p > p.q > transformers"),
    ],
)
def test_a_heavy_entrance_is_caught(start: str, between: str, chain: str) -> None:
    sources = {"p": (Path("p/__init__.py"), start), "p.q": (Path("p/q.py"), between)}
    assert chain in heavy_imports("p", sources)


@pytest.mark.parametrize(
    "start",
    [
        "def f():\n    import torch",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch",
        "import json, torchless",
    ],
)
def test_a_light_entrance_passes(start: str) -> None:
    assert heavy_imports("p", {"p": (Path("p/__init__.py"), start)}) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "import torch as t\nt.load('x')",
        "from torch import load as read\nread('x')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import os\nos.system('ls')",
        "from os import system",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import subprocess\nshell = True\nsubprocess.run('ls', shell=shell)",
        "eval('1')",
        "exec('1')",
    ],
)
def test_a_risk_is_caught(source: str) -> None:
    assert risks(source, Path("emovoice/a.py"))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("emovoice/a.py", "import torch\ntorch.load('x', weights_only=True)\nmodel.eval()\nload('x')"),
        ("emovoice/a.py", "import subprocess\nsubprocess.run(['ls'], shell=False)"),
        ("emovoice/a.py", "text = 'eval(x); os.system(y); import pickle'"),
        ("tests/a.py", "import pickle"),
    ],
)
def test_a_harmless_line_passes(path: str, source: str) -> None:
    assert risks(source, Path(path)) == []
