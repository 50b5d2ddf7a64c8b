"""Files are whole or not there; locks end with their process; text of any editor is read."""

import errno
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from bestreply.utils.files import (
    locked,
    read_text,
    remove,
    replacing,
    write_json,
    write_text,
)


def test_a_block_that_raises_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "before")
    with pytest.raises(RuntimeError), replacing(path) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_names_the_file_and_leaves_no_temporary_one(tmp_path):
    path = tmp_path / "a.txt"
    with (
        pytest.raises(OSError, match="No space left") as error,
        replacing(path) as beside,
    ):
        beside.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(beside))
    assert error.value.filename == str(path)
    assert os.listdir(tmp_path) == []


def test_json_holds_null_where_a_number_is_not_finite(tmp_path):
    value = {"a": [1.5, float("nan")], "b": (float("inf"), None, True, 3)}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "a": [1.5, None],
        "b": [None, None, True, 3],
    }


def test_json_refuses_what_it_cannot_express(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_of_any_editor_is_read(tmp_path, encoding):
    path = tmp_path / "a.toml"
    path.write_bytes("猎鹿 = 1\r\n".encode(encoding))
    assert read_text(path) == "猎鹿 = 1\r\n"


def test_text_in_another_encoding_is_refused_by_line(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes("a = 1\n# Jäger\n".encode("latin-1"))
    with pytest.raises(
        ValueError, match=r"line 2 is not\. Save the file as UTF-8"
    ):
        read_text(path)


def test_a_folder_or_a_file_is_removed(tmp_path):
    (tmp_path / "folder").mkdir()
    write_text(tmp_path / "folder" / "a.txt", "a")
    write_text(tmp_path / "b.txt", "b")
    for name in ("folder", "b.txt", "missing"):
        remove(tmp_path / name)
    assert os.listdir(tmp_path) == []


HOLD = """
import sys, time
from bestreply.utils.files import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="locks are of POSIX systems")
def test_a_lock_excludes_another_process_and_ends_with_it(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with (
            pytest.raises(BlockingIOError, match="another process is using"),
            locked(tmp_path, wait=False),
        ):
            pass
        other.kill()
    with locked(tmp_path, wait=False):
        pass


@pytest.mark.skipif(os.name != "posix", reason="locks are of POSIX systems")
def test_a_thread_takes_its_own_lock_again_and_another_thread_does_not(
    tmp_path,
):
    def free():
        try:
            with locked(tmp_path, wait=False):
                return True
        except BlockingIOError:
            return False

    with ThreadPoolExecutor(1) as pool:
        with locked(tmp_path):
            with locked(tmp_path, wait=False):
                pass
            assert not pool.submit(free).result()
        assert pool.submit(free).result()
