"""A certificate authority of a test's own, and TLS in front of a server that speaks none.

Belongs here: making certificates, and a proxy that ends TLS. Does not belong here: any claim.
"""

import datetime as dt
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Certificates:
    """Files: the authority, and a certificate of `localhost` (and of no address) with its key."""

    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """A new authority, and a server's certificate from it."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
    ca = (
        _certificate(ca_name, ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    server = (
        _certificate(subject, ca_name, key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    made = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    made.authority.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    made.certificate.write_bytes(server.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    made.key.chmod(0o600)
    return made


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
    )


@contextmanager
def tls_in_front_of(target: int, certificates: Certificates, *, postgres: bool = False) -> Iterator[int]:
    """The port of a proxy that speaks TLS and passes on to a port of this machine in the clear.

    A client of Postgres asks for TLS in the clear before it begins.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    ended = threading.Event()
    threads: list[threading.Thread] = []

    def pass_on(raw: socket.socket) -> None:
        with raw, suppress(OSError, ssl.SSLError):  # whoever refuses the certificate goes away
            raw.settimeout(60)
            if postgres:
                raw.recv(8, socket.MSG_WAITALL)
                raw.sendall(b"S")
            with (
                context.wrap_socket(raw, server_side=True) as inner,
                socket.create_connection(("127.0.0.1", target)) as outer,
            ):
                while not ended.is_set():
                    waiting = [inner] if inner.pending() else select.select([inner, outer], [], [], 0.1)[0]
                    for end in waiting:
                        data = end.recv(1 << 16)
                        if not data:
                            return
                        (outer if end is inner else inner).sendall(data)

    def accept() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=pass_on, args=(raw,)))
            threads[-1].start()

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    threads.append(threading.Thread(target=accept))
    threads[0].start()
    try:
        yield port
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join()
