"""OpenLDAP's server on the loopback interface and a Unix socket.

``.ci/stores slapd`` installs Debian's package.  Where it is missing, :func:`slapd` raises
``SkipTest`` and says so by name.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from twisted.trial.unittest import SkipTest

from tests.support.ports import free_port
from tests.support.processes import PATIENCE

#: Where Debian and others have the schemas and the modules.
_SCHEMAS = (Path("/etc/ldap/schema"), Path("/etc/openldap/schema"))
_MODULES = (Path("/usr/lib/ldap"), Path("/usr/lib64/openldap"), Path("/usr/lib/openldap"))

#: What directories of other makers say of accounts.
_SCHEMA = """
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl'
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.159 NAME 'accountExpires'
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.2 NAME 'objectGUID'
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
attributetype ( 2.16.840.1.113730.3.1.610 NAME 'nsAccountLock'
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.99999.1 NAME 'accountState' SUP top AUXILIARY
  MAY ( userAccountControl $ accountExpires $ objectGUID $ nsAccountLock ) )
"""

#: Everybody may try a password, the account that searches may read, users their own entry.
_CONFIGURATION = """
include {schemas}/core.schema
include {schemas}/cosine.schema
include {schemas}/inetorgperson.schema
include {schemas}/nis.schema
include {directory}/accounts.schema
modulepath {modules}
moduleload back_mdb
moduleload memberof
pidfile {directory}/slapd.pid
loglevel stats
threads 8
{tls}
database mdb
suffix "{suffix}"
rootdn "{admin}"
rootpw {password}
directory {directory}/data
dbnosync
{limit}
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{reader}" read by self read by * none
overlay memberof
"""

#: What is in it from the start.
_CONTENT = """
dn: dc=example,dc=com
objectClass: domain
dc: example

dn: cn=reader,dc=example,dc=com
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: reader
userPassword: the reader's secret

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit
ou: groups

dn: ou=others,dc=example,dc=com
objectClass: organizationalUnit
ou: others
"""


@dataclass
class Slapd:
    """A server with a directory.

    :ivar process: the server; ``None`` while there is none.
    """

    directory: Path
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    certificate: tuple[Path, Path] | None = None
    limit: str = "sizelimit unlimited"
    process: subprocess.Popen[bytes] | None = None

    SUFFIX = "dc=example,dc=com"
    ADMIN = "cn=admin,dc=example,dc=com"
    ADMIN_PASSWORD = "the admin's secret"
    READER = "cn=reader,dc=example,dc=com"
    READER_PASSWORD = "the reader's secret"
    PEOPLE = "ou=people,dc=example,dc=com"
    GROUPS = "ou=groups,dc=example,dc=com"

    @property
    def url(self) -> str:
        """Where it listens without TLS."""
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        """Where it listens with TLS."""
        return f"ldaps://127.0.0.1:{self.tls_port}"

    @property
    def unix_url(self) -> str:
        """Its Unix socket."""
        return f"ldapi://{quote(str(self.directory / 'ldapi'), safe='')}"

    def options(self, **others: object) -> dict[str, object]:
        """Return an ``auth`` section for it, without grants."""
        return {
            "type": "ldap",
            "urls": [self.url],
            "bind_dn": self.READER,
            "password": self.READER_PASSWORD,
            "user_base": self.PEOPLE,
            "group_base": self.GROUPS,
            **others,
        }

    def prepare(self) -> None:
        """Write its files."""
        schemas = next((path for path in _SCHEMAS if path.is_dir()), _SCHEMAS[0])
        modules = next((path for path in _MODULES if path.is_dir()), _MODULES[0])
        tls = ""
        if self.certificate is not None:
            tls = "TLSCertificateFile {}\nTLSCertificateKeyFile {}".format(*self.certificate)
        (self.directory / "data").mkdir()
        (self.directory / "accounts.schema").write_text(_SCHEMA)
        (self.directory / "slapd.conf").write_text(
            _CONFIGURATION.format(
                schemas=schemas,
                modules=modules,
                directory=self.directory,
                tls=tls,
                suffix=self.SUFFIX,
                admin=self.ADMIN,
                password=f'"{self.ADMIN_PASSWORD}"',
                reader=self.READER,
                limit=self.limit,
            )
        )
        # Where AppArmor confines the package's own, it confines it to the package's files.
        shutil.copy(_command(), self.directory / "slapd")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        listens = [self.url, self.unix_url]
        if self.certificate is not None:
            listens.append(f"ldaps://127.0.0.1:{self.tls_port}")
        log = self.directory / "slapd.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *(str(self.directory / "slapd"), "-d", "stats"),
                    *("-f", str(self.directory / "slapd.conf"), "-h", " ".join(listens)),
                ],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._listens():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"slapd does not listen: {log.read_text()[-2000:]}")
            time.sleep(0.02)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), PATIENCE).close()
        except OSError:
            return False
        return True

    def signal(self, number: int) -> None:
        """Send it a signal; if that is ``SIGSTOP``, return when it has stopped."""
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def stop(self) -> None:
        """End it as a machine that goes down does: with SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def change(self, ldif: str, *, add: bool = True) -> None:
        """Add entries, or change some.

        :param ldif: which, as LDIF (RFC 2849).
        """
        result = subprocess.run(
            [
                *("ldapmodify", "-x", "-H", self.url, "-D", self.ADMIN),
                *("-w", self.ADMIN_PASSWORD, *(("-a",) if add else ())),
            ],
            input=ldif,
            text=True,
            capture_output=True,
            env={**os.environ, "LDAPNOINIT": "1"},
        )
        assert result.returncode == 0, result.stderr

    def add_user(self, uid: str, password: str = "", *lines: str, rdn: str = "") -> str:
        """Add somebody.

        :param password: empty for none.
        :param lines: more lines of LDIF.
        :param rdn: the first part of the DN, if it is not ``uid=`` and the name.
        :returns: the DN.
        """
        dn = f"{rdn or f'uid={uid}'},{self.PEOPLE}"
        entry = [
            f"dn: {dn}",
            "objectClass: inetOrgPerson",
            "objectClass: accountState",
            f"uid: {uid}",
            f"cn: {uid}",
            "sn: Somebody",
            *([f"userPassword:: {b64encode(password.encode()).decode()}"] if password else ()),
            *lines,
        ]
        self.change("\n".join(entry) + "\n")
        return dn

    def add_group(self, name: str, *members: str, base: str = GROUPS) -> str:
        """Add a group.

        :param members: the DNs of its members; there must be some.
        :returns: the DN.
        """
        dn = f"cn={name},{base}"
        lines = [f"dn: {dn}", "objectClass: groupOfNames", *(f"member: {each}" for each in members)]
        self.change("\n".join(lines) + "\n")
        return dn

    def log(self) -> str:
        """Return what it has logged: connections and operations."""
        return (self.directory / "slapd.log").read_text(errors="replace")


def _command() -> str:
    found = shutil.which("slapd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/libexec")
    if found is None or shutil.which("ldapmodify") is None:
        raise SkipTest("slapd is not installed; 'make stores' installs it where it can")
    return found


@contextmanager
def slapd(
    directory: Path, certificate: tuple[Path, Path] | None = None, limit: str = Slapd.limit
) -> Iterator[Slapd]:
    """Run a server whose directory has an account that searches, and nobody else.

    :param directory: where it keeps everything.
    :param certificate: a certificate's file and its key's, to serve TLS.
    :param limit: how many entries it gives: a line of its configuration.
    :raises SkipTest: if it is not installed.
    """
    server = Slapd(directory, certificate=certificate, limit=limit)
    server.prepare()
    try:
        server.start()
        server.change(_CONTENT)
        yield server
    finally:
        if server.process is not None:
            server.signal(signal.SIGCONT)
        server.stop()
