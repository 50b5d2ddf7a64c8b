"""Files saved by Windows' editors (UTF-8 with a byte order mark, UTF-16), and CSV from Excel and pandas."""

import json
import pathlib
import sys
import tempfile

from bestreply.cli.options import starting_point
from bestreply.scores.compare import compare, read_group
from bestreply.sweeps.sweep import read_sweep

wrong = []
TOML = 'preset = "debug"\ngame = "stag_hunt(height=3, width=3)"\n[methods.a]\n'
CONFIG = json.dumps({"seed": 3})
HEAD = "folder,run,game,game_version,seed,method,opponents,episodes,mean,stderr,share,reference,env_steps,seconds,git_revision\n"
ROWS = "".join(
    f'runs/x/{method},{seed},"stag_hunt(height=3, width=3)",1,{seed},agent,1 nearest_stag,8,{mean},,,,100,,\n'
    for method, mean in (("a", 2.5), ("b", 1.25))
    for seed in range(3)
)
PLAIN = HEAD + ROWS
SEMICOLONS = (
    PLAIN.replace(", width", "@").replace(",", ";").replace("@", ", width")
)


def check(name, read, reads, *, words=()):
    """Note a file that is read and should not be, or is refused and should be read."""
    try:
        read()
    except ValueError as error:
        text = str(error)
        if reads or any(word not in text for word in words) or len(text) > 1000:
            wrong.append(f"{name}: {text:.300}")
    except Exception as error:
        wrong.append(f"{name}: {type(error).__name__}: {error}")
    else:
        if not reads:
            wrong.append(f"{name}: read")


def main(folder):
    """Read every file."""
    sweep, config, table = (folder / n for n in ("s.toml", "c.json", "t.csv"))
    for name, text, reads in (
        ("utf-8", TOML.encode(), True),
        ("mark", b"\xef\xbb\xbf" + TOML.encode(), True),
        ("utf-16", TOML.encode("utf-16"), True),
        ("crlf", TOML.replace("\n", "\r\n").encode(), True),
        ("latin-1", ("# Jäger\n" + TOML).encode("latin-1"), False),
        ("utf-16 cut", TOML.encode("utf-16")[:-1], False),
        ("empty", b"", False),
        ("zeros", bytes(9), False),
        ("deep", b"a = " + b"[" * 10_000, False),
        ("many seeds", b"seeds = 99999999999\n" + TOML.encode(), False),
        (
            "hexadecimal",
            b"seeds = 0x" + b"f" * 9000 + b"\n" + TOML.encode(),
            False,
        ),
        ("no table", b"methods = 3\n", False),
        ("game", b"game = 5\n[methods.a]\n", False),
        ("date", b"preset = 2026-01-01\n[methods.a]\n", False),
        ("config", TOML.encode() + b"[config]\ntrain = 5\n", False),
    ):
        sweep.write_bytes(text)
        check(
            f"toml {name}", lambda: read_sweep(sweep), reads, words=[str(sweep)]
        )
    for name, text, reads in (
        ("mark", b"\xef\xbb\xbf" + CONFIG.encode(), True),
        ("utf-16", CONFIG.encode("utf-16"), True),
        ("latin-1", '{"game": "ä"}'.encode("latin-1"), False),
        ("empty", b"", False),
        ("list", b"[1]", False),
        ("null", b"null", False),
        ("number", b'{"game": 5}', False),
        ("nested text", b'{"train": "x"}', False),
        ("deep", b"[" * 100_000, False),
    ):
        config.write_bytes(text)
        words = [f"--config={config}"]
        read = lambda: starting_point(["--config", str(config)])  # noqa: E731
        check(f"json {name}", read, reads, words=words)

    def groups():
        return compare([read_group(f"a={table}:a"), read_group(f"b={table}:b")])

    index = "".join(f"{i},{r}\n" for i, r in enumerate(ROWS.splitlines()))
    for name, text, reads, words in (
        ("plain", PLAIN, True, ()),
        ("mark", "\ufeff" + PLAIN, True, ()),
        ("crlf", PLAIN.replace("\n", "\r\n"), True, ()),
        ("semicolons", SEMICOLONS, True, ()),
        ("tabs", SEMICOLONS.replace(";", "\t"), True, ()),
        ("decimal comma", SEMICOLONS.replace("2.5", "2,5"), False, ("line 2: mean='2,5'", "decimal points")),
        ("empty mean", PLAIN.replace(",2.5,", ",,"), False, ("line 2: mean=''",)),
        ("mean nan", PLAIN.replace(",2.5,", ",nan,"), False, ("line 2: mean='nan'",)),
        ("mean n/a", PLAIN.replace(",2.5,", ",n/a,"), False, ("line 2: mean='n/a'",)),
        ("mean inf", PLAIN.replace(",2.5,", ",inf,"), False, ("line 2: mean='inf'",)),
        ("mean 1e999", PLAIN.replace(",1.25,", ",1e999,"), False, ("line 5: mean",)),
        ("blank last rows", PLAIN + "," * 14 + "\n\n  \n", True, ()),
        ("index of pandas", "," + HEAD + index, True, ()),
        ("named index", "Unnamed: 0," + HEAD + index, True, ()),
        ("rows twice", PLAIN + ROWS, False, ("line 8: ", "line 2")),
        ("one row twice", PLAIN + ROWS.splitlines()[4], False, ("line 8: ", "line 6")),
        ("seed as float", PLAIN.replace(",1,0,agent", ",1,0.0,agent"), True, ()),
        ("seed half", PLAIN.replace(",1,0,agent", ",1,0.5,agent"), False, ("line 2: seed='0.5'",)),
        ("seed negative", PLAIN.replace(",1,0,agent", ",1,-1,agent"), False, ("seed='-1'",)),
        ("seed huge", PLAIN.replace(",1,0,agent", f",1,{'9' * 5000},agent"), False, ("seed=",)),
        ("episodes text", PLAIN.replace(",8,", ",eight,"), False, ("episodes='eight'",)),
        ("short row", PLAIN + "a,b\n", False, ("line 8: 2 cells: expected 15",)),
        ("column twice", PLAIN.replace("stderr", "mean"), False, ("'mean' once",)),
        ("no header", ROWS, False, ("lacks columns",)),
        ("empty", "", False, ("lacks columns",)),
        ("zeros", "\0" * 100, False, ()),
        ("open quote", PLAIN + '"' + "x" * 200_000, False, ()),
    ):  # fmt: skip
        table.write_text(text, encoding="utf-8")
        check(f"csv {name}", groups, reads, words=[str(table), *words])
    table.write_bytes(PLAIN.encode("utf-16"))
    check("csv utf-16", groups, True)
    table.write_bytes(PLAIN.replace("runs/x", "Jäger").encode("latin-1"))
    check("csv latin-1", groups, False, words=["line 2"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(pathlib.Path(scratch))
    print(*wrong, sep="\n")
    sys.exit(bool(wrong))
