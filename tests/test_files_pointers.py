"""Pointers and broken links in place of files that Git LFS or git-annex holds, for every kind of file that is read."""

import pytest

from spikeloom.data.load import load
from spikeloom.errors import FileError

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1\n"


@pytest.mark.parametrize("suffix", [".nwb", ".mat", ".npz", ".npy", ".h5"])
def test_a_pointer_is_said_to_be_one(tmp_path, suffix):
    lfs = tmp_path / f"lfs{suffix}"
    lfs.write_text(POINTER)
    with pytest.raises(FileError, match=r"is a pointer of Git LFS, not the file\. Type: git lfs pull"):
        load(lfs)
    annex = tmp_path / f"annex{suffix}"
    annex.write_text("/annex/objects/MD5E-s1--abc.nwb\n")
    with pytest.raises(FileError, match="git annex get"):
        load(annex)


@pytest.mark.parametrize("suffix", [".nwb", ".mat", ".npz", ".npy", ".h5"])
def test_a_broken_link_is_said_to_be_one(tmp_path, suffix):
    link = tmp_path / f"link{suffix}"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileError, match=r"is a link to .*nowhere, which does not exist"):
        load(link)
