"""The command line as a whole: help, speed, exit codes, no tracebacks."""

import subprocess
import sys

import pytest

from emovoice import cli, errors

HEAVY = {
    "torch",
    "torchaudio",
    "numpy",
    "scipy",
    "soundfile",
    "soxr",
    "numba",
    "transformers",
    "gradio",
    "tqdm",
}


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "emovoice", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in ("say", "voices", "info"))])
def test_help_is_light_and_has_examples(arguments: list[str]) -> None:
    code = (
        "import sys, atexit; from emovoice.cli import main\n"
        "atexit.register(lambda: print(sorted(m for m in sys.modules if '.' not in m), file=sys.stderr))\n"
        f"main({arguments!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "examples:" in done.stdout and "emovoice say" in done.stdout + "emovoice say" * (arguments[0] == "info")
    imported = set(done.stderr.strip("[]\n").replace("'", "").split(", "))
    assert "emovoice" in imported and not imported & HEAVY


def test_help_names_every_command_and_exit_code() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(name in done.stdout and line in done.stdout for name, line in cli.available().items())
    assert all(f"\n  {code} " in done.stdout for code in (0, 1, *cli.EXIT_CODES.values(), cli.INTERRUPTED))


def test_every_command_that_is_there_can_be_added() -> None:
    assert {"say", "voices", "info"} <= set(cli.available()) <= set(cli.COMMANDS)
    for name in cli.available():
        with pytest.raises(SystemExit) as caught:
            cli.main([name, "--help"])
        assert caught.value.code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["shout"],
        ["say"],
        ["say", "Hi."],
        ["--nonsense"],
        ["info", "--json=5"],
        ["say", "Hi.", "-o", "a.wav", "--intensity", "0,7"],
        ["say", "Hi.", "-o", "a.wav", "--seed", "x"],
        ["say", "Hi.", "-o", "a.wav", "--accent", "fr"],
        ["voices", "unmake"],
        ["voices", "make", "a.wav"],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert "commands:" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0 and capsys.readouterr().out.startswith("emovoice ")


def test_every_error_has_its_own_code() -> None:
    kinds = set(errors.EmovoiceError.__subclasses__())
    assert set(cli.EXIT_CODES) == kinds and len(set(cli.EXIT_CODES.values())) == len(kinds)


@pytest.mark.parametrize(("kind", "code"), cli.EXIT_CODES.items())
def test_an_error_is_one_line(
    kind: type[errors.EmovoiceError],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: object) -> int:
        raise kind("two\nlines", field="text", value="a\nb", remedy="Do\nthis.")

    monkeypatch.setattr("emovoice.cli.info.run", fail)
    assert cli.main(["info"]) == code
    out, err = capsys.readouterr()
    assert out == "" and err == "error: two lines (text='a\\nb'). Do this.\n"


def test_an_interruption(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("emovoice.cli.info.run", interrupt)
    assert cli.main(["info"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_reader_that_goes_away() -> None:
    """`emovoice --help | head -1` and the like end quietly."""
    code = (
        "import sys; from emovoice import cli; from emovoice.cli import info\n"
        "info.run = lambda _: print('x' * 10**6) or 0\n"
        "sys.exit(cli.main(['info']))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait(60) == 0
