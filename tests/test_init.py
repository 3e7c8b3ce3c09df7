"""The package's face: every name is there, and importing it imports nothing heavy."""

import subprocess
import sys

import pytest

import spikeloom


@pytest.mark.parametrize("name", spikeloom.__all__)
def test_every_name_is_there(name):
    assert getattr(spikeloom, name) is not None
    assert name in dir(spikeloom)


def test_unknown_names_say_what_there_is():
    with pytest.raises(AttributeError, match="LDNS"):
        spikeloom.ldns_model


def test_importing_the_package_is_cheap():
    code = "import sys, spikeloom; assert not {'torch', 'numpy', 'h5py'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
