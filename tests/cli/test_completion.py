"""Completion scripts, run by the shells themselves where they are installed."""

import shutil
import subprocess

import pytest

from bestreply.cli.completion import script
from bestreply.cli.registry import COMMANDS

CASES = [
    (
        "",
        {"run", "evaluate", "data", "check-game", "help"},
        {"describe", "--seed"},
    ),
    ("ev", {"evaluate"}, {"run"}),
    ("data ", {"describe", "validate"}, {"run", "collect"}),
    ("help da", {"data"}, {"describe"}),
    ("run --train.u", {"--train.updates"}, {"--train.gamma", "--seed"}),
    ("run --preset ", {"debug", "demo", "full"}, {"--seed"}),
    ("run --preset d", {"debug", "demo"}, {"full"}),
    ("report --", {"--lang", "--since"}, {"--seed", "en"}),
    ("report --lang ", {"en", "zh"}, {"--since"}),
    ("completion ", {"bash", "zsh", "fish"}, {"run"}),
    ("data describe ", set(), {"run", "describe", "--help"}),
]

BASH = """
typed=($1); [[ $1 == *" " || -z $1 ]] && typed+=("")
COMP_WORDS=(bestreply "${typed[@]}"); COMP_CWORD=${#typed[@]}
_bestreply
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
compdef() { : }
compadd() { shift; print -rl -- ${(M)@:#$words[CURRENT]*} }
_files() { : }
source $2
words=(bestreply ${(s: :)1}); [[ $1 == *" " || -z $1 ]] && words+=("")
CURRENT=$#words
_bestreply
"""
FISH = 'source $argv[2]; complete -C "bestreply $argv[1]"; true'


def completed(shell, line, path):
    """Return the candidates that a shell offers after `bestreply LINE`."""
    code = {"bash": f'source "$2"\n{BASH}', "zsh": ZSH, "fish": FISH}[shell]
    named = ["-c", code] if shell == "fish" else ["-c", code, shell]
    done = subprocess.run(
        [shell, *named, line, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    return {
        line.split("\t")[0] for line in done.stdout.splitlines()
    }  # fish appends a description


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_candidates(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / "script"
    path.write_text(script(shell) + "\n")
    for line, some, none in CASES:
        words = completed(shell, line, path)
        assert some <= words and not none & words, (line, words)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_names_every_command_and_option(shell):
    text = script(shell)
    for name in COMMANDS:
        assert name.split()[-1] in text
    for option in ("planner.planner", "evaluate.no-changes", "show-beliefs"):
        assert option in text
