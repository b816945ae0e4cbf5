"""Load the configuration: embedded defaults, a YAML file, the environment.

The result is a frozen :class:`Config`.  Sections that select a plugin by
``type`` (``storage``, ``auth``, ``locks``, ``catalogue``, ``observers``) stay plain here;
:mod:`giftless.app.plugins` converts them with the plugin's own options.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import structs

from giftless.app.variables import FILE_VARIABLE, hidden, override, setter, variable_of
from giftless.auth.access import AccessOptions
from giftless.auth.actions import ActionOptions
from giftless.auth.rates import RateOptions
from giftless.base import schema
from giftless.base.safe_yaml import find_place, load_yaml
from giftless.base.showing import describe, file_name
from giftless.base.units import Duration
from giftless.base.urls import check_url
from giftless.errors import ConfigError
from giftless.interfaces import Section
from giftless.ssh.options import SSHOptions
from giftless.usecases.quotas.rules import QuotaOptions
from giftless.usecases.scrub.options import ScrubOptions
from giftless.web.cors import CorsOptions
from giftless.web.limits import Limits
from giftless.web.proxies import UNIX

#: The front of an endpoint that names none.
DEFAULT_FRONT: Final = "http"

#: The name of a host.
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.ASCII)


class EndpointOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One place to listen at, where a string does not say enough.

    :ivar listen: a Twisted server endpoint string.
    :ivar front: the name of the front that serves its connections.
    :ivar client_certificates: whether clients are asked for a certificate, where the
        endpoint is one of TLS.
    """

    listen: str
    front: str = DEFAULT_FRONT
    client_certificates: bool = False


class AdminOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What operators and their monitoring see.

    :ivar endpoints: where metrics and health are served, as Twisted server endpoint
        strings; not where clients connect.
    :ivar public_health: whether health is served where clients connect, too.
    :ivar public_pages: whether the pages are served there, below ``/-/``, to whoever has
        the permission ``admin``.
    :ivar hosts: by what names operators ask the admin endpoints for pages.
    """

    endpoints: list[str] = []
    public_health: bool = False
    public_pages: bool = False
    hosts: list[str] = []

    @property
    def shown(self) -> bool:
        """Whether anybody can see what is counted."""
        return bool(self.endpoints) or self.public_pages


class TrashOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The trash, where deleted objects are for a while.

    :ivar keep: for how long they can be brought back.
    """

    keep: Duration = Duration(30 * 86_400)


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration.

    :ivar endpoints: where to listen, as Twisted server endpoint strings or as
        sections that name the front too; the front of a string is ``http``.
    :ivar admin: what operators and their monitoring see.
    :ivar public_url: the root of the URLs that clients are given; empty to
        build it from each request.
    :ivar trusted_proxies: addresses, networks or ``unix``, whose
        ``X-Forwarded-*`` headers are believed.
    :ivar certificate_header: the header in which these tell the certificate of a client;
        empty if they do not.
    :ivar storage: where objects are kept: ``type`` and that plugin's options.
    :ivar auth: who may do what: a list of authenticators, asked in order.
    :ivar aliases: repositories that are kept under another name: paths, and the paths
        under which their objects and locks are.
    :ivar access: how refusals look, and how guessing is slowed.
    :ivar rates: how many requests each client may send.
    :ivar quotas: how much organisations and repositories may store and download.
    :ivar locks: where file locks are kept: ``type``, that plugin's options, and
        those of :class:`giftless.usecases.locks.LockPolicy`.
    :ivar catalogue: where it is kept what is known of objects: ``type`` and that plugin's
        options.
    :ivar trash: where deleted objects are for a while.
    :ivar scrub: whether and how fast everything that is stored is read again.
    :ivar ssh: whether and how Git LFS is served over SSH.
    :ivar observers: who is told what the server has done: a list of observers.
    :ivar transfers: the transfer adapters to offer, best first.
    :ivar actions: how long the actions of batch replies are good.
    :ivar cors: whose pages may use the server in a browser.
    :ivar limits: what a client may send, how much, and how slowly.
    :ivar plugin_path: directories with more plugin files.
    :ivar state_dir: the directory of the daemon's own state (its secret, its locks).
    :ivar secret: what tokens are signed with; better in ``secret_file`` or
        the environment.
    :ivar secret_file: a file that holds the secret.
    :ivar shutdown_timeout: how long running transfers may take to end after
        SIGTERM, in seconds.
    :ivar workers: how many processes serve; ``auto`` for one per processor.
    :ivar threads: how many threads disk and hashing may use in each of them.
    :ivar log_format: ``text``, or ``json`` for one JSON object a line.
    """

    endpoints: list[str | EndpointOptions] = msgspec.field(
        default_factory=lambda: ["tcp:8080:interface=127.0.0.1"]
    )
    admin: AdminOptions = AdminOptions()
    public_url: str = ""
    trusted_proxies: list[str] = []
    certificate_header: str = ""
    storage: Section = msgspec.field(default_factory=lambda: {"type": "local"})
    auth: list[Section] = msgspec.field(
        default_factory=lambda: [{"type": "anonymous", "access": "read-write"}]
    )
    aliases: dict[str, str] = {}
    access: AccessOptions = AccessOptions()
    rates: RateOptions = RateOptions()
    quotas: QuotaOptions = QuotaOptions()
    locks: Section = msgspec.field(default_factory=lambda: {"type": "sqlite"})
    catalogue: Section = msgspec.field(default_factory=lambda: {"type": "sqlite"})
    trash: TrashOptions = TrashOptions()
    scrub: ScrubOptions = ScrubOptions()
    ssh: SSHOptions = SSHOptions()
    observers: list[Section] = []
    transfers: list[str] = msgspec.field(
        default_factory=lambda: ["giftless", "multipart-basic", "tus", "basic"]
    )
    actions: ActionOptions = ActionOptions()
    cors: CorsOptions = CorsOptions()
    limits: Limits = Limits()
    plugin_path: list[str] = []
    state_dir: str = "giftless-state"
    secret: str | None = None
    secret_file: str | None = None
    shutdown_timeout: Annotated[int, msgspec.Meta(ge=0)] = 60
    workers: Annotated[int, msgspec.Meta(ge=1, le=1000)] | Literal["auto"] = 1
    threads: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 32
    log_format: Literal["text", "json"] = "text"

    def __repr__(self) -> str:
        """Leave out everything: sections may hold secrets."""
        return "<Config>"


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and where it is from.

    :ivar source: the file's name; empty for the embedded defaults.
    :ivar text: what is in the file.
    """

    config: Config
    source: str
    text: str = dataclasses.field(repr=False)


def load(file: str | None, environ: Mapping[str, str]) -> Loaded:
    """Load the configuration.

    :param file: the file's name; ``None`` to ask ``GIFTLESS_CONFIG``, and to
        use the embedded defaults if that is not set either.
    :param environ: the environment; ``GIFTLESS_A__B`` overrides ``a.b``.
    :raises ConfigError: if it cannot be used; its text begins with the file's
        or the variable's name.
    """
    if file:
        return parse(file, _read(file), environ)
    named = environ.get(FILE_VARIABLE) or ""
    if not named:
        return parse("", "", environ)
    if not file_name(named):
        # Somebody may have put the configuration itself there.
        raise ConfigError(f"environment {FILE_VARIABLE}", "names a file that does not exist")
    return parse(named, _read(named), environ)


def parse(source: str, text: str, environ: Mapping[str, str]) -> Loaded:
    """Make a configuration of what is in its file.

    :param source: the file's name; empty for the embedded defaults.
    :param text: what is in it.
    :param environ: as for :func:`load`.
    :raises ConfigError: as :func:`load` does.
    """
    data = _keys(source, text)
    override(data, environ, structs.asdict(Config()))
    try:
        config = schema.convert(data, Config, "")
        _check(config)
    except ConfigError as error:
        raise located(error, source, text, environ) from None
    return Loaded(config, source, text)


def located(error: ConfigError, source: str, text: str, environ: Mapping[str, str]) -> ConfigError:
    """Say where the value of a wrong key was set.

    :param source: the file's name; empty for the embedded defaults.
    :param text: what is in it.
    :returns: an error whose path begins with the variable or the file, and whose
        problem ends with the line and the column.
    """
    whole = error.path if error.key is None else schema.join(error.path, error.key)
    variable = setter(whole, environ)
    problem = error.problem
    if variable is not None:
        if error.key is not None and len(variable) >= len(variable_of(whole)):
            # The unknown key is a part of the variable's name, and may be a secret.
            variable = hidden(error.path)
        where = f"environment {variable}"
    else:
        where = source or "embedded defaults"
        steps = error.path.split(".") if error.path else []
        place = find_place(text, steps if error.key is None else [*steps, error.key])
        if place is not None:
            problem = f"{problem} (line {place[0]}, column {place[1]})"
    return ConfigError(f"{where}: {error.path}" if error.path else where, problem)


def _read(source: str) -> str:
    try:
        with open(source, encoding="utf-8") as stream:
            return stream.read()
    except OSError as error:
        raise ConfigError(source, f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(source, f"is not valid YAML: {error}") from None


def _keys(source: str, text: str) -> dict[str, Any]:
    try:
        data = load_yaml(text)
    except ValueError as error:
        raise ConfigError(source, f"is not valid YAML: {error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(source, f"found {describe(data)}, but the file must be a mapping of keys")
    return data


def _check(config: Config) -> None:
    """Check what types cannot say.

    :raises ConfigError: if a value cannot work.
    """
    if not config.endpoints:
        raise ConfigError("endpoints", "found an empty list, allowed is one endpoint or more")
    if not config.auth:
        raise ConfigError("auth", "found an empty list, allowed is one authenticator or more")
    if not config.transfers:
        raise ConfigError("transfers", "found an empty list, allowed is one transfer or more")
    if config.public_url:
        check_url("public_url", config.public_url)
    for index, proxy in enumerate(config.trusted_proxies):
        try:
            if proxy != UNIX:
                ipaddress.ip_network(proxy, strict=False)
        except ValueError:
            raise ConfigError(
                f"trusted_proxies.{index}",
                f"found {describe(proxy)}, allowed is an address, a network such as 10.0.0.0/8,"
                f" or '{UNIX}'",
            ) from None
    config.scrub.check()
    for index, host in enumerate(config.admin.hosts):
        if not _HOST_NAME.fullmatch(host):
            raise ConfigError(
                f"admin.hosts.{index}",
                f"found {describe(host)}, allowed is the name of a host, without a port",
            )
    if config.secret is not None and config.secret_file is not None:
        raise ConfigError("secret_file", "is set beside 'secret'; set one of them")
