"""The cluster's keys: one ECDSA CA, what it signs, and the key of ServiceAccount tokens.

Everything lives in one directory of 0600 files, each written whole or not at all. A certificate is issued anew when
a third of its life is left, when its names no longer suffice, or when the CA is another.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from machinery.structs import Struct

CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
# A machine without a clock battery may start in the past of the certificate that it made before.
BACKDATED = timedelta(hours=1)
CLUSTER_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")


class PkiError(Exception):
    """A key file can't be used; the message names it and what to do."""


class KeyPair(Struct, frozen=True):
    """Paths of a certificate and its key, both PEM."""

    certificate: Path
    key: Path


class Identity(Struct, frozen=True):
    """Whom a certificate speaks for: a user (CN) with groups (O), or a server under `names` and `ips`."""

    name: str
    groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()

    @property
    def is_server(self) -> bool:
        return bool(self.names or self.ips)


class Authority(Struct, frozen=True, dict=True):
    """The CA: signs for whoever holds its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @cached_property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, identity: Identity, now: datetime, *, lifetime: timedelta = LEAF_LIFETIME) -> tuple[bytes, bytes]:
        """A new key and its certificate, as (certificate, key) in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self.sign(identity, key.public_key(), now, lifetime=lifetime), _key_pem(key)

    def sign(
        self,
        identity: Identity,
        public_key: ec.EllipticCurvePublicKey,
        now: datetime,
        *,
        lifetime: timedelta = LEAF_LIFETIME,
    ) -> bytes:
        """The certificate of somebody else's key, in PEM; it never outlives the CA."""
        usage = ExtendedKeyUsageOID.SERVER_AUTH if identity.is_server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            _builder(identity.name, identity.groups, public_key, now)
            .issuer_name(self.certificate.subject)
            .not_valid_after(min(now + lifetime, self.certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(for_ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        if identity.is_server:
            alternatives = [
                *map(x509.DNSName, identity.names),
                *(x509.IPAddress(ip_address(ip)) for ip in identity.ips),
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Pki:
    """The directory's keys, loaded. `ssl_context_server` shows renewed ones after `reload`, without a restart."""

    def __init__(self, directory: Path, authority: Authority, token_key: ec.EllipticCurvePrivateKey) -> None:
        self.directory = directory
        self.authority = authority
        self.service_account_key = token_key
        self.ca_certificate = directory / "ca.crt"
        self._kept: dict[str, Identity] = {}
        # One pair at a time: the start and a network that changes meanwhile ask for the kubelet's at once.
        self._making = threading.Lock()
        self._server_context: ssl.SSLContext | None = None

    @classmethod
    def load_or_create(
        cls, directory: Path, *, names: Sequence[str] = (), ips: Sequence[str] = (), now: datetime | None = None
    ) -> Pki:
        """The PKI of `directory`, made where it is not there; the server answers to `names` and `ips` at least."""
        now = now or datetime.now(UTC)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = _load_authority(directory, now)
        pki = cls(directory, authority, _load_key(directory / "service-account.key"))
        pki.serve(names, ips, now=now)
        pki.client("apiserver-kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",), now=now)
        return pki

    @property
    def ca_pem(self) -> bytes:
        return self.authority.pem

    @property
    def server(self) -> KeyPair:
        return self._paths("apiserver")

    @property
    def kubelet_client(self) -> KeyPair:
        """With which the API server asks kubelets for logs and streams."""
        return self._paths("apiserver-kubelet-client")

    def serve(self, names: Sequence[str], ips: Sequence[str], *, now: datetime | None = None) -> bool:
        """Makes the API server answer to these names too; true if its certificate is a new one."""
        is_new = self.prepare(names, ips, now=now)
        if is_new:
            self.reload()
        return is_new

    def prepare(self, names: Sequence[str], ips: Sequence[str], *, now: datetime | None = None) -> bool:
        """The part of `serve` that may wait for the disk; what listens shows the new one after `reload`."""
        wanted = Identity(
            "kube-apiserver",
            names=tuple(dict.fromkeys(("localhost", *CLUSTER_NAMES, *names))),
            ips=tuple(dict.fromkeys(("127.0.0.1", "::1", *ips))),
        )
        return self._keep("apiserver", wanted, now or datetime.now(UTC))

    def client(self, file: str, name: str, groups: Sequence[str] = (), *, now: datetime | None = None) -> KeyPair:
        """A client certificate kept as `<file>.crt` and `<file>.key` and renewed with the others."""
        self._keep(file, Identity(name, tuple(groups)), now or datetime.now(UTC))
        return self._paths(file)

    def server_for(
        self, file: str, name: str, names: Sequence[str], ips: Sequence[str], *, now: datetime | None = None
    ) -> KeyPair:
        """Another server's certificate (a kubelet's), kept and renewed like the API server's own."""
        self._keep(file, Identity(name, names=tuple(names), ips=tuple(ips)), now or datetime.now(UTC))
        return self._paths(file)

    def issue_client(
        self, name: str, groups: Sequence[str] = (), *, now: datetime | None = None
    ) -> tuple[bytes, bytes]:
        """A client certificate that is kept nowhere, as (certificate, key) in PEM."""
        return self.authority.issue(Identity(name, tuple(groups)), now or datetime.now(UTC))

    def renew(self, now: datetime | None = None) -> bool:
        """Issues anew what is near its end; call it daily. True if anything changed, for `reload` to show."""
        now = now or datetime.now(UTC)
        # All of them, not up to the first.
        return any([self._keep(file, identity, now) for file, identity in self._kept.items()])

    def expiries(self) -> dict[str, datetime]:
        """When each kept certificate and the CA end, for `status`."""
        found = {"ca": self.authority.certificate.not_valid_after_utc}
        for file in self._kept:
            certificate = _certificate(self._paths(file).certificate)
            if certificate is not None:
                found[file] = certificate.not_valid_after_utc
        return found

    def ssl_context_server(self) -> ssl.SSLContext:
        """For the API's listener: asks for client certificates of this CA, takes connections without one."""
        if self._server_context is None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(cadata=self.ca_pem.decode())
            context.set_alpn_protocols(["http/1.1"])
            self._server_context = context
            self.reload()
        return self._server_context

    def ssl_context_client(self, pair: KeyPair | None = None) -> ssl.SSLContext:
        """For connections to servers of this CA, as whom `pair` names."""
        context = ssl.create_default_context(cadata=self.ca_pem.decode())
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        return context

    def reload(self) -> None:
        """Has the API's listener show the certificate that is kept now, to whoever connects next."""
        if self._server_context is not None:
            self._server_context.load_cert_chain(self.server.certificate, self.server.key)

    def _paths(self, file: str) -> KeyPair:
        return KeyPair(self.directory / f"{file}.crt", self.directory / f"{file}.key")

    def _keep(self, file: str, identity: Identity, now: datetime) -> bool:
        self._kept[file] = identity
        pair = self._paths(file)
        with self._making:
            if self._suffices(pair, identity, now):
                return False
            certificate, key = self.authority.issue(identity, now)
            # A crash between the two leaves a pair that doesn't match; the next start sees that and issues both anew.
            write_private(pair.key, key)
            write_private(pair.certificate, certificate)
        return True

    def _suffices(self, pair: KeyPair, identity: Identity, now: datetime) -> bool:
        certificate, key = _certificate(pair.certificate), _private_key(pair.key)
        if certificate is None or key is None or key.public_key() != certificate.public_key():
            return False
        life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        if now < certificate.not_valid_before_utc or now > certificate.not_valid_after_utc - life / 3:
            return False
        try:
            certificate.verify_directly_issued_by(self.authority.certificate)
        except (InvalidSignature, ValueError, TypeError):
            return False
        if certificate.subject != _subject(identity.name, identity.groups):
            return False
        return not identity.is_server or _answers_to(certificate, identity)


def write_private(path: Path, data: bytes) -> None:
    """Replaces the file by `data`, readable by its owner alone; after a crash it holds the old or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _load_authority(directory: Path, now: datetime) -> Authority:
    certificate_path, key_path = directory / "ca.crt", directory / "ca.key"
    if certificate_path.exists() and not key_path.exists():
        raise PkiError(f"{key_path} is missing: restore it, or remove {directory} to make a new CA")
    key = _load_key(key_path)
    if certificate_path.exists():
        certificate = _certificate(certificate_path)
        if certificate is None or certificate.public_key() != key.public_key():
            raise PkiError(f"{certificate_path} can't be used with {key_path}: restore both, or remove {directory}")
        if now < certificate.not_valid_after_utc:
            return Authority(certificate, key)
    # The same key under the same name: what it has signed stays valid when the CA's certificate is renewed.
    certificate = _self_signed(key, now)
    write_private(certificate_path, certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(certificate, key)


def _self_signed(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    return (
        _builder("minikube-py", (), key.public_key(), now)
        .issuer_name(_subject("minikube-py", ()))
        .not_valid_after(now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(for_ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _builder(
    name: str, groups: Sequence[str], public_key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(name, groups))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _subject(name: str, groups: Sequence[str]) -> x509.Name:
    # X.509 limits a CN to 64 characters, user names of nodes and accounts may be longer: upstream doesn't check either.
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group, _validate=len(group) <= 64) for group in groups]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=len(name) <= 64)])


def _key_usage(*, for_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=for_ca,
        crl_sign=for_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _answers_to(certificate: x509.Certificate, identity: Identity) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    addresses = {str(ip) for ip in found.get_values_for_type(x509.IPAddress)}
    names = set(found.get_values_for_type(x509.DNSName))
    return names >= set(identity.names) and addresses >= {str(ip_address(ip)) for ip in identity.ips}


def _certificate(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey | None:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    if not path.exists():
        write_private(path, _key_pem(ec.generate_private_key(ec.SECP256R1())))
    key = _private_key(path)
    if key is None:
        raise PkiError(f"{path} holds no ECDSA key: restore it, or remove {path.parent} to make new keys")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
