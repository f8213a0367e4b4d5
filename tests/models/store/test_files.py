"""Is a file there whole or as it was before?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clippan_models.store.files import sha256_of, written_whole

OLD = "01d09d19c2139a46aebfb577780d123d7396e97201bc7ead210a2ebff8239dee"
"""By `printf 'old\\n' | sha256sum`."""


@pytest.mark.parametrize("synced", [False, True])
def test_a_file_is_replaced_when_it_is_whole(tmp_path: Path, synced: bool) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old\n")
    assert sha256_of(path) == OLD
    with written_whole(path, synced=synced) as partial:
        partial.write_text("new\n")
        assert path.read_text() == "old\n"
    assert path.read_text() == "new\n" and list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old\n")
    with pytest.raises(KeyboardInterrupt), written_whole(path) as partial:
        partial.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old\n" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("link", [False, True])
def test_a_pipe_is_not_replaced(link: bool, tmp_path: Path) -> None:
    pipe, path = tmp_path / "pipe", tmp_path / "a.txt"
    os.mkfifo(pipe)
    if link:
        path.symlink_to(pipe)
    with pytest.raises(OSError, match="not a regular file"), written_whole(path if link else pipe) as partial:
        partial.write_text("new")
    assert pipe.is_fifo() and path.is_symlink() == link
