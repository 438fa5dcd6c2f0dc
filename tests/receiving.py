"""A server for outgoing calls that answers as servers do: as it should, late, badly, too much, or not at all."""

import asyncio
import datetime
import ipaddress
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def status(code: int, body: bytes = b"", **headers: str) -> Behaviour:
    """Answer as servers should; underscores in header names are hyphens."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {code} Said", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()

    return answer


async def silence(writer: asyncio.StreamWriter) -> None:
    """Take the request and say nothing."""
    await asyncio.sleep(3600)


async def drip(writer: asyncio.StreamWriter) -> None:
    """An answer that never ends, one byte at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.02)


async def huge(writer: asyncio.StreamWriter) -> None:
    """A gigabyte, for whoever reads that far; it promises even more."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\n")
    for _ in range(1_000):
        writer.write(bytes(1 << 20))
        await writer.drain()


async def cut(writer: asyncio.StreamWriter) -> None:
    """Close in the middle of a good answer."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
    await writer.drain()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close without an answer."""


async def nonsense(writer: asyncio.StreamWriter) -> None:
    """Speak something else."""
    writer.write(b"220 mail.example.org ESMTP\r\n")
    await writer.drain()


async def header_flood(writer: asyncio.StreamWriter) -> None:
    """More headers than anybody needs."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(100_000):
        writer.write(b"X-%d: y\r\n" % number)
        await writer.drain()


@dataclass
class Receiver:
    """Listens on 127.0.0.1; `answers` are taken one a request, then `otherwise`."""

    port: int = 0
    answers: deque[Behaviour] = field(default_factory=deque)
    otherwise: Behaviour = field(default_factory=lambda: status(200, b"thanks"))
    received: list[Received] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        """Where it is, without TLS."""
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await self._exchange(reader, writer)
                writer.close()
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, path, _ = first.split(" ")
        self.received.append(Received(method, path, headers, body))
        await (self.answers.popleft() if self.answers else self.otherwise)(writer)


@asynccontextmanager
async def receiver(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver at work; whoever still waits for an answer at the end is let go."""
    made, serving = Receiver(), set[asyncio.Task[None]]()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(made.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await server.wait_closed()


@dataclass(frozen=True)
class Certificates:
    """An authority of our own, and contexts for servers that it vouches for."""

    folder: Path

    @property
    def ca_file(self) -> str:
        """The authority's certificate."""
        return str(self.folder / "ca.pem")

    def server(self, kind: str = "good") -> ssl.SSLContext:
        """A server's context: its certificate is good, of another host, expired, or nobody's."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{kind}.pem")
        return context


def make_certificates(folder: Path) -> Certificates:
    """ca.pem, and good.pem, other-host.pem, expired.pem and self-signed.pem with their keys."""
    authority = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Test CA", authority, "Test CA", authority, None, 1)
    (folder / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    for kind, name, days in (("good", "localhost", 1), ("other-host", "other.test", 1), ("expired", "localhost", -1)):
        key = ec.generate_private_key(ec.SECP256R1())
        _write(folder / f"{kind}.pem", _certificate(name, key, "Test CA", authority, name, days), key)
    key = ec.generate_private_key(ec.SECP256R1())
    _write(folder / "self-signed.pem", _certificate("localhost", key, "localhost", key, "localhost", 1), key)
    return Certificates(folder)


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    host: str | None,
    days: int,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=3))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
    )
    if host is not None:
        names: list[x509.GeneralName] = [x509.DNSName(host)]
        if host == "localhost":
            names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _write(path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
