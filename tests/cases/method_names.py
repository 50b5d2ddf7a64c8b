"""Names of methods in a sweep are names of folders: none may lead out of the sweep's folder."""

import pathlib
import sys
import tempfile

from bestreply.sweeps.sweep import read_sweep

bad = []
with tempfile.TemporaryDirectory() as t:
    f = pathlib.Path(t) / "s.toml"
    for m in (
        "../../x",
        "a/b",
        "/abs/olute",
        "..",
        "a b",
        "ünï",
        "con",
        "x" * 300,
        "data",
        "a:b",
        "",
    ):
        f.write_text(
            f'preset="debug"\ngame="stag_hunt(height=3, width=3)"\n[methods."{m}"]\n'
        )
        try:
            p = read_sweep(f, pathlib.Path(t) / "out").units[0].path
            out = not p.resolve().is_relative_to(
                (pathlib.Path(t) / "out").resolve()
            )
            print(
                "accepted",
                repr(m[:20]),
                str(p)[-60:],
                "LEADS OUT" if out else "",
            )
            bad += [m] if out else []
        except ValueError as e:
            print("refused", repr(m[:20]), str(e)[:120])
print(bad)
sys.exit(bool(bad))
