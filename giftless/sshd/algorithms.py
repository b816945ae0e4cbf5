"""Which algorithms the listener offers: the sound ones of those that Conch has.

Conch has neither authenticated ciphers nor MACs that cover the ciphertext.  What there is
suffices: counter mode with HMAC-SHA2, as RFC 4344 and RFC 6668 describe it, is not among
the modes that lose messages unnoticed (CVE-2023-48795).
"""

from __future__ import annotations

from typing import Final

from twisted.conch.ssh.transport import SSHTransportBase

#: How keys are agreed upon: the first is safe from quantum computers as well, and there if
#: ``cryptography`` has it.
KEY_EXCHANGES: Final[list[bytes]] = [
    name
    for name in (
        b"mlkem768x25519-sha256",
        b"curve25519-sha256",
        b"curve25519-sha256@libssh.org",
    )
    if name in SSHTransportBase.supportedKeyExchanges
]

#: What encrypts.
CIPHERS: Final = [b"aes128-ctr", b"aes192-ctr", b"aes256-ctr"]

#: What makes sure that nothing is changed on the way.
MACS: Final = [b"hmac-sha2-256", b"hmac-sha2-512"]

#: Objects do not become smaller, and compression tells something of what it compresses.
COMPRESSIONS: Final = [b"none"]

#: How host keys may sign, by the kind of key, best first.
HOST_SIGNATURES: Final = {
    b"ssh-ed25519": [b"ssh-ed25519"],
    b"ecdsa-sha2-nistp256": [b"ecdsa-sha2-nistp256"],
    b"ecdsa-sha2-nistp384": [b"ecdsa-sha2-nistp384"],
    b"ecdsa-sha2-nistp521": [b"ecdsa-sha2-nistp521"],
    b"ssh-rsa": [b"rsa-sha2-512", b"rsa-sha2-256"],
}

#: How users' keys may sign, and of which kind of key each signature is.
USER_SIGNATURES: Final = {
    b"ssh-ed25519": b"ssh-ed25519",
    b"sk-ssh-ed25519@openssh.com": b"sk-ssh-ed25519@openssh.com",
    b"ecdsa-sha2-nistp256": b"ecdsa-sha2-nistp256",
    b"ecdsa-sha2-nistp384": b"ecdsa-sha2-nistp384",
    b"ecdsa-sha2-nistp521": b"ecdsa-sha2-nistp521",
    b"sk-ecdsa-sha2-nistp256@openssh.com": b"sk-ecdsa-sha2-nistp256@openssh.com",
    b"rsa-sha2-512": b"ssh-rsa",
    b"rsa-sha2-256": b"ssh-rsa",
}

#: What the names of certificates have behind that of the key or of the signature, where the
#: domain of the name, if it has one, has been left out.
CERTIFICATE: Final = b"-cert-v01@openssh.com"


def certified(name: bytes) -> bytes:
    """Return what the certificate of a kind of key, or its signature, is called."""
    return name.removesuffix(b"@openssh.com") + CERTIFICATE


#: The signatures that clients are told of (RFC 8308 section 3.1): without this list, OpenSSH
#: takes RSA keys for useless unless the host key is one.
OFFERED_SIGNATURES: Final = [*USER_SIGNATURES, *map(certified, USER_SIGNATURES)]
