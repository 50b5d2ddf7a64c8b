"""Where datasets and runs are written to, and where not."""

import pytest

import bestreply as br
from bestreply.pipeline import run_all, run_on
from bestreply.utils.output_folders import output_folder

GAME = "matrix(table=prisoners_dilemma, rounds=3)"
CONFIG = br.RunConfig(game=GAME)


def collected(path):
    return br.collect(GAME, ["random"] * 2, 2, seed=0, path=path)


def test_a_new_folder_is_made_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        folder = output_folder(None, "datasets", "module:Game/x")
        assert str(folder) == f"datasets/module-Game-x-000{number}"
        assert folder.is_dir()
    assert not output_folder("new/folder", "runs", "game").exists()


@pytest.mark.parametrize("place", ["file", "file/inside"])
@pytest.mark.parametrize("write", ["collect", "train", "run"])
def test_a_file_is_no_folder(tmp_path, write, place):
    data = collected(tmp_path / "data")
    (tmp_path / "file").write_text("kept")
    path = tmp_path / place
    calls = {
        "collect": lambda: collected(path),
        "train": lambda: br.train(data, CONFIG, path=path),
        "run": lambda: run_all(CONFIG, path),
    }
    with pytest.raises(
        FileExistsError, match=r"expected a folder; .* is a file"
    ):
        calls[write]()
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    "write",
    [
        lambda data: br.train(data, CONFIG, path=data.path),
        lambda data: run_on(data, CONFIG, data.path),
        lambda data: run_all(CONFIG, data.path),
    ],
)
def test_a_dataset_is_no_place_for_a_run(tmp_path, write):
    data = collected(tmp_path / "data")
    before = {path: path.read_bytes() for path in data.path.iterdir()}
    with pytest.raises(ValueError, match="folder for runs; it is a dataset"):
        write(data)
    after = {path: path.read_bytes() for path in data.path.iterdir()}
    assert before == after


def test_a_run_is_no_place_for_a_dataset(tmp_path):
    (tmp_path / "provenance.json").write_text("{}")
    with pytest.raises(ValueError, match="for datasets; it is a run directory"):
        collected(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["provenance.json"]


def test_the_empty_path_is_refused(tmp_path, monkeypatch):
    data = collected(tmp_path / "data")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for write in (collected, lambda path: br.train(data, CONFIG, path=path)):
        with pytest.raises(ValueError, match="path='': expected a folder"):
            write("")
    assert not [*(tmp_path / "here").iterdir()]


def test_what_is_continued_needs_a_path(tmp_path, monkeypatch):
    data = collected(tmp_path / "data")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    calls = [
        lambda: br.train(data, CONFIG, resume=True),
        lambda: run_all(CONFIG, resume=True),
        lambda: run_on(data, CONFIG, resume=True),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="beside --resume: --out FOLDER"):
            call()
    with pytest.raises(ValueError, match="beside --append: --out FOLDER"):
        br.collect(GAME, ["random"] * 2, 2, seed=0, append=True)
    assert not [*(tmp_path / "here").iterdir()]
