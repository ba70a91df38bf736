"""TLS to the servers: who is trusted, and that nothing is said to anybody else."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from clarion.brokers import open_broker
from clarion.errors import BrokerUnavailable, SettingsError, StoreUnavailable
from clarion.notification import Channel, Lane, Priority
from clarion.store import migrate, open_store
from clarion_testing.certificates import Certificates, make_certificates
from clarion_testing.postgres import private_server
from clarion_testing.postgres_servers import DockerServer, LocalServer
from clarion_testing.rabbitmq import private_node
from clarion_testing.rabbitmq_nodes import DockerNode, LocalNode

LANE = Lane(Channel.EMAIL, Priority.NORMAL)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # not pytest's own: the servers' users may not reach into that
    path = Path(tempfile.mkdtemp(prefix="clarion-tls-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def certificates(folder: Path) -> Certificates:
    made = folder / "certificates"
    made.mkdir()
    return make_certificates(made)


@pytest.fixture(scope="module")
def node(folder: Path, certificates: Certificates) -> Iterator[LocalNode | DockerNode]:
    (folder / "rabbitmq").mkdir()
    node = private_node(folder / "rabbitmq", certificates)
    try:
        node.start()
        yield node
    finally:
        node.remove()


async def test_the_broker_is_reached_by_tls_with_the_authority_that_is_named(
    node: LocalNode | DockerNode, certificates: Certificates
) -> None:
    broker = open_broker(node.tls_url("gateway", f"cafile={certificates.ca}"))
    try:
        await broker.connect()
        await broker.publish(LANE, b"secret", {})
        backlog = await broker.backlog()
    finally:
        await broker.close()

    assert backlog.lanes[LANE].ready == 1


@pytest.mark.parametrize("trusted", ["other_ca", None])
async def test_a_broker_that_nobody_vouches_for_is_told_no_password(
    node: LocalNode | DockerNode, certificates: Certificates, trusted: str | None
) -> None:
    options = f"cafile={getattr(certificates, trusted)}" if trusted else ""
    broker = open_broker(node.tls_url("gateway", options))
    try:
        with pytest.raises(
            BrokerUnavailable, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify"
        ):
            await broker.connect()
    finally:
        await broker.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("amqps://u:p@h/?cafile=/nowhere.pem", "BROKER_URL: cafile: there is no file /nowhere.pem"),
        ("amqps://u:p@h/?certfile=/nowhere.pem", "BROKER_URL: certfile"),
        ("amqp://u:p@h/?cafile=/nowhere.pem", "BROKER_URL: cafile is of no use with amqp://"),
    ],
)
def test_a_wrong_tls_option_of_the_broker_is_named_at_once(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        open_broker(url)


@pytest.fixture(scope="module")
def server(folder: Path, certificates: Certificates) -> Iterator[LocalServer | DockerServer]:
    (folder / "postgres").mkdir()
    server = private_server(folder / "postgres")
    try:
        server.start()
        server.use_certificate(certificates.certificate, certificates.key)
        server.stop()
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
async def misnamed(
    server: LocalServer | DockerServer, certificates: Certificates
) -> AsyncIterator[None]:
    """The server shows a certificate of another host while the test runs."""
    server.use_certificate(certificates.wrong_name, certificates.wrong_name_key)
    server.execute("SELECT pg_reload_conf()")
    yield
    server.use_certificate(certificates.certificate, certificates.key)
    server.execute("SELECT pg_reload_conf()")


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_the_database_is_reached_by_tls_with_the_authority_that_is_named(
    server: LocalServer | DockerServer, certificates: Certificates, mode: str
) -> None:
    store = open_store(f"{server.url}/postgres?sslmode={mode}&sslrootcert={certificates.ca}")
    try:
        await store.ping()
    finally:
        await store.close()


async def test_the_schema_is_migrated_by_tls(
    server: LocalServer | DockerServer, certificates: Certificates
) -> None:
    url = f"{server.url}/postgres?sslmode=verify-full&sslrootcert={certificates.ca}"

    await asyncio.to_thread(migrate, url)

    store = open_store(url)
    try:
        assert await store.unpublished() == 0
    finally:
        await store.close()


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_a_database_that_nobody_vouches_for_is_refused(
    server: LocalServer | DockerServer, certificates: Certificates, mode: str
) -> None:
    store = open_store(f"{server.url}/postgres?sslmode={mode}&sslrootcert={certificates.other_ca}")
    try:
        with pytest.raises(StoreUnavailable, match="certificate verify failed"):
            await store.ping()
    finally:
        await store.close()


@pytest.mark.usefixtures("misnamed")
@pytest.mark.parametrize(("mode", "refused"), [("verify-ca", False), ("verify-full", True)])
async def test_only_verify_full_heeds_the_name_of_the_server(
    server: LocalServer | DockerServer, certificates: Certificates, mode: str, refused: bool
) -> None:
    store = open_store(f"{server.url}/postgres?sslmode={mode}&sslrootcert={certificates.ca}")
    try:
        if refused:
            with pytest.raises(StoreUnavailable, match=r"not valid for '127\.0\.0\.1'"):
                await store.ping()
        else:
            await store.ping()
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("sslmode=verify-full", "sslmode=verify-full needs sslrootcert="),
        ("sslmode=certainly", "sslmode must be one of disable, allow, prefer, require, verify-ca"),
        ("sslrootcert=/nowhere.pem", "sslrootcert needs sslmode=verify-full beside it"),
        ("sslmode=prefer&sslrootcert=/nowhere.pem", "sslrootcert needs sslmode=verify-full"),
        ("sslmode=verify-full&sslrootcert=/nowhere.pem", "sslrootcert: there is no file"),
        ("sslmode=require&sslcert=/nowhere.pem", "sslcert: there is no file"),
    ],
)
def test_a_wrong_tls_option_of_the_database_is_named_at_once(options: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"DATABASE_URL: {message}"):
        open_store(f"postgresql://u:p@127.0.0.1/x?{options}")
