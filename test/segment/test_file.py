"""Files that appear whole or not at all."""

from pathlib import Path

import pytest

from twnet_ros.segment.file import whole


def test_what_is_written_takes_the_files_place(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    with whole(path) as file:
        file.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole(path) as file:
        file.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_error_of_a_full_disk_names_the_file(tmp_path):
    """Python's own does not: it is that of a file which is open."""
    expected = r"No space left on device: '.*report\.json'"
    with pytest.raises(OSError, match=expected), whole(tmp_path / "report.json"):
        Path("/dev/full").write_text("x")
