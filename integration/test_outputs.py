"""What a command writes is there whole, and takes nothing from anybody."""

import os
import stat

import pytest

import outputs


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "folder" / "out.json"
    outputs.check_writable(path)
    assert os.listdir(tmp_path) == []
    outputs.write_text(path, "first")
    with open(path, encoding="utf-8") as reader:
        outputs.write_text(path, "second")
        assert reader.read() == "first"  # who reads it keeps what there was
    assert path.read_text() == "second"
    assert os.listdir(path.parent) == ["out.json"]


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    outputs.write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_what_is_no_file_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        outputs.check_writable(pipe)
        outputs.write_text(pipe, "text")
        assert os.read(reader, 100) == b"text"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)


def test_a_folder_and_its_like_are_named(tmp_path):
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        outputs.check_writable(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="/file'"):
        outputs.check_writable(tmp_path / "file" / "out.json")
