"""Connecting to Ray: a cluster that is not there."""

import sys
from types import SimpleNamespace

import pytest

from spikeloom.cluster import connect
from spikeloom.errors import SettingError


def test_a_cluster_that_is_not_there_is_named(monkeypatch):
    def init(*_, **__):
        raise ConnectionError("Failed to connect to Ray cluster at nowhere:6379\nmore")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    with pytest.raises(SettingError, match="nowhere:6379") as error:
        connect("nowhere:6379")
    assert "more" not in str(error.value)
