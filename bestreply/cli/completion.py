"""Completion scripts for bash, zsh and fish, generated from the registry.

They contain words alone: no program runs at a key press.
"""

import dataclasses
from collections.abc import Iterator
from typing import Literal

from bestreply.cli.options import Option, options_of
from bestreply.cli.output import say
from bestreply.cli.registry import COMMANDS, FAMILIES

Shell = Literal["bash", "zsh", "fish"]
TOP_FLAGS = ("--help", "--version")


@dataclasses.dataclass(frozen=True)
class Completion:
    """Completes commands, options and the values of options with few values.

    bash: eval "$(bestreply completion bash)" in ~/.bashrc

    zsh:  eval "$(bestreply completion zsh)" in ~/.zshrc, after compinit

    fish: bestreply completion fish | source in ~/.config/fish/config.fish
    """

    shell: Shell
    """The shell."""

    def run(self) -> None:
        """Print the script."""
        say(script(self.shell))


def script(shell: Shell) -> str:
    """Return the completion script for a shell, as text for the shell to evaluate.

    Args:
        shell: the shell.

    Returns:
        The script.
    """
    if shell == "bash":
        return f"{_words_function()}\n{_BASH}"
    if shell == "zsh":
        return f"#compdef bestreply\n{_words_function()}\n{_ZSH}"
    return "\n".join(_fish_lines())


# -- bash and zsh --------------------------------------------------------------

_BASH = """_bestreply() {
    local current=${COMP_WORDS[COMP_CWORD]} words
    words=$(_bestreply_words "$current" "${COMP_WORDS[COMP_CWORD-1]}" "${COMP_WORDS[@]:1:COMP_CWORD-1}")
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _bestreply bestreply"""

_ZSH = """_bestreply() {
    local candidates
    candidates=$(_bestreply_words "$words[CURRENT]" "$words[CURRENT-1]" "${(@)words[2,CURRENT-1]}")
    if [[ -n $candidates ]]; then compadd -- ${=candidates}; else _files; fi
}
compdef _bestreply bestreply"""


def _words_function() -> str:
    """Return a shell function that prints the candidates; none where file names are completed."""
    lines = [
        "# usage: _bestreply_words CURRENT PREVIOUS [WORD ...], the words after `bestreply` before the current one",
        "_bestreply_words() {",
        '    local name="$3"',
        f'    case "$3" in {"|".join(FAMILIES)}) name="$3${{4:+ $4}}" ;; esac',
        '    case "$name" in',
        f'    "") echo "{" ".join([*_top_words(), "help", *TOP_FLAGS])}" ;;',
        f'    help) echo "{" ".join(_top_words())}" ;;',
    ]
    for family in FAMILIES:
        lines.append(
            f'    {family}) echo "{" ".join([*_family_words(family), "--help"])}" ;;'
        )
    for name, command in COMMANDS.items():
        lines += [
            f'    "{name}")',
            *_option_cases(list(options_of(command.load()))),
            "        ;;",
        ]
    return "\n".join([*lines, "    esac", "}"])


def _option_cases(options: list[Option]) -> Iterator[str]:
    yield '        case "$2" in'
    for option in options:
        if option.positional or option.is_flag:
            continue
        if option.choices:
            yield f'        {option.name}) echo "{" ".join(option.choices)}"; return ;;'
        elif option.is_path:
            yield f"        {option.name}) return ;;"
    yield "        esac"
    positional = [option for option in options if option.positional]
    flags = [
        f
        for option in options
        if option not in positional
        for f in option.flags
    ]
    words = [choice for option in positional for choice in option.choices]
    all_flags = " ".join([*flags, "--help"])
    other = " ".join(words) if positional else all_flags
    yield f'        case "$1" in -*) echo "{all_flags}" ;; *) echo "{other}" ;; esac'


def _top_words() -> list[str]:
    return list(dict.fromkeys(name.split()[0] for name in COMMANDS))


def _family_words(family: str) -> list[str]:
    return [
        name.split()[1]
        for name in COMMANDS
        if name.split()[0] == family and " " in name
    ]


# -- fish ----------------------------------------------------------------------

_FISH = """function __bestreply_at # the words after `bestreply`, before the current one, are exactly these
    set -l typed (commandline -opc)
    test "$typed[2..-1]" = "$argv"
end
function __bestreply_in # they begin with these
    set -l typed (commandline -opc)
    string match -q -- "$argv *" "$typed[2..-1] "
end"""


def _fish_lines() -> Iterator[str]:
    yield _FISH
    yield "complete -c bestreply -n '__bestreply_at \"\"' -f -l help"
    yield "complete -c bestreply -n '__bestreply_at \"\"' -f -l version"
    yield "complete -c bestreply -n '__bestreply_at \"\"' -f -a help -d 'Show the options of a command'"
    yield f"complete -c bestreply -n '__bestreply_at help' -f -a '{' '.join(_top_words())}'"
    for family in FAMILIES:
        yield f"complete -c bestreply -n '__bestreply_at \"\"' -f -a {family} -d '{', '.join(_family_words(family))}'"
    for name, command in COMMANDS.items():
        *family, last = name.split()
        summary = command.summary.replace("'", r"\'")
        yield f"complete -c bestreply -n '__bestreply_at \"{' '.join(family)}\"' -f -a {last} -d '{summary}'"
        yield from _fish_options(name, list(options_of(command.load())))


def _fish_options(name: str, options: list[Option]) -> Iterator[str]:
    start = f"complete -c bestreply -n '__bestreply_in {name}'"
    if not any(option.positional and option.is_path for option in options):
        yield f"{start} -f"
    yield f"{start} -l help"
    for option in options:
        choices = f"'{' '.join(option.choices)}'"
        if option.positional:
            if option.choices:
                yield f"{start} -a {choices}"
        elif option.is_flag:
            yield from (
                f"{start} -l {flag.removeprefix('--')}" for flag in option.flags
            )
        elif option.choices:
            yield f"{start} -l {option.name.removeprefix('--')} -xa {choices}"
        else:
            yield f"{start} -l {option.name.removeprefix('--')} {'-rF' if option.is_path else '-x'}"
