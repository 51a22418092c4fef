"""Clusters: who gets in, how somebody else's is reached, and what is said when that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster
from distributed.security import Security

from minkgen.errors import ClusterError
from minkgen.recipe import LocalProcesses, SchedulerAddress
from minkgen.recipe.machines import Certificates
from minkgen.workflows.cluster import clients, open_client, run_tasks
from minkgen.workflows.progress import Silent


@pytest.mark.parametrize("protocol", ["plain", "another certificate"])
def test_nobody_without_the_key_gets_in(local_address: str, protocol: str) -> None:
    assert local_address.startswith("tls://127.0.0.1:")

    async def knock() -> None:
        security = None if protocol == "plain" else Security.temporary()
        target = local_address.replace("tls:", "tcp:") if security is None else local_address
        async with Client(target, security=security, asynchronous=True, timeout="2s"):
            pass

    with pytest.raises(OSError, match=r"(?i)timed out|ssl|certificate|closed"):
        asyncio.run(knock())


@pytest.fixture(scope="module")
def local_address() -> Iterator[str]:
    with open_client(LocalProcesses(workers=1)) as opened:
        yield opened.scheduler.address


def double(number: int) -> int:
    return 2 * number


def certificates_in(folder: Path) -> Certificates:
    """Write a new key pair."""
    made = Security.temporary()
    files = {"ca_file": made.tls_ca_file, "cert": made.tls_client_cert, "key": made.tls_client_key}
    for name, text in files.items():
        (folder / name).write_text(text)
    return Certificates(**{name: folder / name for name in files})


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates_in(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def their_address(certificates: Certificates) -> Iterator[str]:
    """Return the address of a cluster that somebody else has started."""
    files = {"tls_ca_file": str(certificates.ca_file)}
    for role in ("scheduler", "worker", "client"):
        files[f"tls_{role}_cert"] = str(certificates.cert)
        files[f"tls_{role}_key"] = str(certificates.key)
    security = Security(require_encryption=True, **files)
    with LocalCluster(
        n_workers=1,
        processes=False,
        host="127.0.0.1",
        protocol="tls://",
        dashboard_address="127.0.0.1:0",
        security=security,
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "_CONNECT_TIMEOUT_S", 2)


def reach(address: str, certificates: Certificates | None = None) -> list[int]:
    section = SchedulerAddress(kind="address", address=address, certificates=certificates)
    with open_client(section) as client:
        return run_tasks(client, double, [1, 2], Silent(), what="not doubled")


def test_a_cluster_is_reached_with_certificates_and_goes_on_afterwards(
    their_address: str, certificates: Certificates
) -> None:
    assert reach(their_address, certificates) == [2, 4]
    names = {"ca-file": "ca_file", "client.cert": "cert", "client.key": "key"}
    configured = {
        f"distributed.comm.tls.{key}": str(getattr(certificates, name))
        for key, name in names.items()
    }
    with dask.config.set(configured):
        assert reach(their_address) == [2, 4]


def test_without_certificates_the_error_says_what_is_needed(their_address: str) -> None:
    with pytest.raises(ClusterError, match="asks for a certificate") as caught:
        reach(their_address)
    assert "distributed.comm.tls.client.key" in str(caught.value.got)
    assert "cluster.certificates.ca_file" in str(caught.value.hint)


def test_a_certificate_that_cannot_be_read_is_named(
    their_address: str, certificates: Certificates
) -> None:
    lost = certificates.model_copy(update={"key": Path("/nowhere/key")})
    with pytest.raises(ClusterError, match="cannot be read") as caught:
        reach(their_address, lost)
    assert caught.value.where == Path("/nowhere/key")


@pytest.mark.parametrize("fault", ["another certificate", "plain", "nobody there"])
def test_a_scheduler_that_does_not_let_us_in(
    their_address: str, certificates: Certificates, tmp_path: Path, fault: str
) -> None:
    address, ours = their_address, certificates
    if fault == "another certificate":
        ours = certificates_in(tmp_path)
    elif fault == "plain":
        address = address.replace("tls:", "tcp:")
    else:
        address = "tls://127.0.0.1:9"
    with pytest.raises(ClusterError, match="the scheduler cannot be reached") as caught:
        reach(address, ours)
    assert caught.value.where == address
