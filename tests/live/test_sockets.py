"""TCP and UDP on the loopback: equal counts, hostile packets, two clients, reconnection, pacing."""

import asyncio
import time

import numpy as np
import pytest

from spikeloom.errors import SettingError
from spikeloom.live import Background, Session, Tcp, Udp, serve
from spikeloom.live import server as server_module
from spikeloom.live import tcp as tcp_module
from spikeloom.live import udp as udp_module
from spikeloom.live.server import Transport
from tests.live.conftest import TcpClient, UdpClient
from tests.live.test_protocol import HOSTILE

KINDS = pytest.mark.parametrize(("transport", "kind"), [(Tcp, TcpClient), (Udp, UdpClient)])


def values(number: int) -> list[float]:
    return [np.sin(number / 3)]


@KINDS
def test_requested_bins_are_those_of_a_live_trial(fitted, connect, transport, kind):
    live = fitted.live(4, condition="wave")
    with Background(Session(fitted, seed=4), transport(port=0), pace="request") as server:
        client = connect(server.address, kind=kind)
        for k in range(50):
            client.send({"condition": {"wave": values(k)}})
            answer = client.read()
            assert answer["counts"] == live.step(values(k)).tolist()
            assert (answer["bin"], answer["late"]) == (k, 0)


@KINDS
def test_bins_on_the_clock_are_those_of_a_live_trial(fitted, connect, transport, kind):
    """Samples are sent half a second ahead, so that a busy machine makes none of them late."""
    live, n_bins = fitted.live(4, condition="wave"), 60
    with Background(Session(fitted, seed=4), transport(port=0)) as server:
        client, began = connect(server.address, kind=kind), time.monotonic()
        for k in range(n_bins):
            client.send({"time": 10 + 0.01 * k, "condition": {"wave": values(k)}})
        for k in range(n_bins):
            answer = client.read()
            assert answer["counts"] == live.step(values(k)).tolist()
        lasted = time.monotonic() - began
    assert lasted > (n_bins - 1) * 0.01  # no bin is sent before it ends
    assert server.session.statistics.delays.number >= n_bins


def test_spike_times_lie_in_their_bin(fitted, connect):
    live = fitted.live(0, condition="wave")
    with Background(Session(fitted, spike_times=True), Tcp(port=0), pace="request") as server:
        client = connect(server.address)
        for k in range(30):
            client.send({"condition": {"wave": [2.0]}})
            spikes = client.read()["spikes"]
            counts = np.bincount([neuron for neuron, _ in spikes], minlength=fitted.n_neurons)
            np.testing.assert_array_equal(counts, live.step([2.0]))
            assert all(0.01 * k < spike < 0.01 * (k + 1) for _, spike in spikes)


@KINDS
def test_hostile_packets_are_answered_and_the_server_survives(fitted, connect, transport, kind):
    with Background(Session(fitted, seed=4), transport(port=0), pace="request") as server:
        for fault in HOSTILE.values():
            client = connect(server.address, kind=kind)
            client.send(fault.replace(b"\n", b" ") + (b"\n" if kind is TcpClient else b""))
            assert set(client.read()) == {"error"}
            client.close()
        client = connect(server.address, kind=kind)
        client.send({"condition": {"wave": [0.5]}})
        assert client.read()["bin"] == 0
    assert server.session.statistics.refused == len(HOSTILE)


def test_a_line_without_end_closes_the_connection(fitted, connect):
    with Background(Session(fitted), Tcp(port=0)) as server:
        client = connect(server.address)
        client.send(b"x" * 100_000)
        assert "bytes" in client.read()["error"]
        assert client.closed()


def test_two_clients_share_a_trial(fitted, connect):
    with Background(Session(fitted, seed=4), Tcp(port=0), pace="request") as server:
        one, other = connect(server.address), connect(server.address)
        assert one.greeting == other.greeting == {"n_neurons": 6, "bin_width": 0.01, "conditions": {"wave": 1}}
        for k in range(10):
            (one, other)[k % 2].send({"condition": {"wave": values(k)}})
            assert one.read() == other.read()


def test_a_client_may_leave_and_return(fitted, connect):
    with Background(Session(fitted, seed=4), Tcp(port=0)) as server:
        first = connect(server.address)
        first.send({"condition": {"wave": [0.5]}})
        before = first.read()["bin"]
        first.close()
        again = connect(server.address)
        after = again.read()["bin"]
        assert again.read()["bin"] == after + 1
        assert after > before
        again.send({"time": 0.0, "condition": {"wave": [0.7]}})  # a new clock, of this connection
        assert again.read()["late"] == 0


def test_messages_for_a_client_that_does_not_read_are_dropped(fitted, connect, monkeypatch):
    request = {"condition": {"wave": 0.5}}
    with Background(Session(fitted), Tcp(port=0), pace="request") as server:
        client = connect(server.address)
        with monkeypatch.context() as patch:
            patch.setattr(tcp_module, "LARGEST_BACKLOG", -1)  # every backlog is too large
            client.send(request)
            while not server.session.statistics.dropped:
                time.sleep(0.01)
        client.send(request)
        assert client.read()["bin"] == 1
    assert server.session.statistics.dropped == 1


def test_the_number_of_clients_is_bounded(fitted, connect, monkeypatch):
    monkeypatch.setattr(tcp_module, "MOST_CLIENTS", 2)
    monkeypatch.setattr(udp_module, "MOST_CLIENTS", 2)
    with Background(Session(fitted), Tcp(port=0)) as server:
        assert "n_neurons" in connect(server.address).greeting
        assert "n_neurons" in connect(server.address).greeting
        assert "2 clients" in connect(server.address).greeting["error"]
    with Background(Session(fitted, condition={}), Udp(port=0), pace="request") as server:
        clients = [connect(server.address, kind=UdpClient) for _ in range(3)]
        for k, client in enumerate(clients):
            client.send({})
            assert client.read()["bin"] == k
        clients[1].send({})
        assert clients[2].read()["bin"] == 3
        assert [clients[1].read()["bin"] for _ in range(2)] == [2, 3]
        assert len(server._transport._clients) == 2


def test_an_address_that_cannot_be_used_is_an_error(fitted):
    with Background(Session(fitted), Tcp(port=0)) as server:
        port = int(server.address.rsplit(":", 1)[1])
        with pytest.raises(SettingError, match=f"Port {port} .* in use"), Background(Session(fitted), Tcp(port=port)):
            pass
    for transport in (Tcp, Udp):
        with (
            pytest.raises(SettingError, match="address of this machine"),
            Background(Session(fitted), transport("203.0.113.1", port=0)),
        ):
            pass


class Clock(Transport):
    """A clock that only sleeping moves, and a transport that notes when bins are sent."""

    def __init__(self, n_bins: int) -> None:
        self.now, self.n_bins, self.times = 100.0, n_bins, []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def open(self, session, receive):
        pass

    def send(self, spikes):
        self.times.append(self.now)
        if spikes.number == 2:
            self.now += 0.028  # a pause of almost three bins
        if len(self.times) == self.n_bins:
            raise asyncio.CancelledError

    def close(self):
        pass


def test_delays_do_not_add_up(fitted, monkeypatch):
    session, clock = Session(fitted, condition={}), Clock(10)
    with monkeypatch.context() as patch:
        patch.setattr(server_module.time, "monotonic", clock.monotonic)
        patch.setattr(server_module.asyncio, "sleep", clock.sleep)
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(serve(session, clock))
    delays = np.array(clock.times) - (100 + 0.01 * np.arange(1, 11))
    np.testing.assert_allclose(delays, [0, 0, 0, 0.018, 0.008, 0, 0, 0, 0, 0], atol=1e-9)
    assert session.statistics.missed == 2  # bin 2, which was sent before the pause ended, and bin 3
