"""With the shim vocos and transformers import whatever torch build is there. Each case in its own process."""

import subprocess
import sys
import textwrap

import pytest


def run(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def run_well(code: str) -> str:
    done = run(code)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


FAKE_TORCHAUDIO = """
    import pathlib, sys, tempfile
    root = pathlib.Path(tempfile.mkdtemp()) / "torchaudio"
    (root / "_extension").mkdir(parents=True)
    (root / "__init__.py").write_text("from . import _extension\\n")
    (root / "_extension" / "__init__.py").write_text({body!r})
    sys.path.insert(0, str(root.parent))
    from emovoice import torchaudio_shim
"""


def fake(body: str, then: str) -> str:
    return textwrap.dedent(FAKE_TORCHAUDIO).format(body=body) + textwrap.dedent(then)


def test_installing_imports_nothing_heavy() -> None:
    out = run_well(
        """
        import sys
        from emovoice import torchaudio_shim
        torchaudio_shim.install()
        torchaudio_shim.install()
        print(sum(type(f).__module__ == "emovoice.torchaudio_shim" for f in sys.meta_path))
        print([name for name in ("torch", "torchaudio", "numpy") if name in sys.modules])
        """
    )
    assert out.split("\n") == ["1", "[]"]


@pytest.mark.slow
def test_vocos_and_transformers_model_classes_import() -> None:
    out = run_well(
        """
        from emovoice import torchaudio_shim
        torchaudio_shim.install()
        from transformers import GPT2LMHeadModel   # `import transformers` alone is lazy and proves nothing
        from vocos.heads import ISTFTHead
        from vocos.models import VocosBackbone
        import torch, torchaudio
        mel = torchaudio.transforms.MelSpectrogram(24000, n_fft=256, n_mels=8)(torch.randn(2400))
        print(GPT2LMHeadModel.__name__, tuple(mel.shape))
        """
    )
    assert out == "GPT2LMHeadModel (8, 19)"


@pytest.mark.slow
def test_importing_emovoice_is_enough() -> None:
    """emovoice/__init__.py installs the shim, so users of the API need not know of it."""
    assert run_well("import emovoice; import vocos; print('ok')") == "ok"


@pytest.mark.slow
def test_an_earlier_failed_import_is_no_obstacle() -> None:
    out = run_well(
        """
        from emovoice import torchaudio_shim
        try:
            import torchaudio
        except (OSError, RuntimeError):
            pass
        module, native = torchaudio_shim.ensure_torchaudio()
        print(module.__name__, native == (torchaudio_shim.missing_reason() is None))
        """
    )
    assert out == "torchaudio True"


@pytest.mark.parametrize("raised", ["OSError('libc10_cuda.so')", "RuntimeError('different CUDA versions')"])
def test_a_failing_extension_becomes_a_stand_in(raised: str) -> None:
    then = """
        module, native = torchaudio_shim.ensure_torchaudio()
        assert not native
        extension = module._extension
        assert not extension._IS_TORCHAUDIO_EXT_AVAILABLE and not extension._IS_ALIGN_AVAILABLE
        assert extension._check_cuda_version() is None
        try:
            extension.fail_if_no_align(len)([1])
        except RuntimeError as error:
            print(error)
    """
    out = run_well(fake(f"raise {raised}", then))
    assert "unavailable" in out
    assert raised.split("'")[1] in out


def test_a_working_extension_is_left_alone() -> None:
    then = """
        module, native = torchaudio_shim.ensure_torchaudio()
        print(native, module._extension.mark, torchaudio_shim.missing_reason())
    """
    assert run_well(fake("mark = 7", then)) == "True 7 None"


def test_other_failures_are_not_swallowed() -> None:
    done = run(fake("raise KeyError('broken installation')", "torchaudio_shim.ensure_torchaudio()"))
    assert done.returncode != 0
    assert "broken installation" in done.stderr
