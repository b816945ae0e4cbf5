"""The questions how clients reach the server."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from giftless.setup.answers import PROXIES, TLS, Edge
from giftless.setup.asking import KEEP, Asking
from giftless.setup.proxies import check_path, reached
from giftless.setup.values import Address, Choice, Form, Listen, Path, PublicURL, host_and_port


def ask_edge(asking: Asking, exists: bool, present: Edge | None, low_ports: bool) -> Edge | None:
    """Ask how clients reach the server.

    :param exists: whether there is a configuration.
    :param present: what it says; ``None`` if that is more than can be asked for.
    :param low_ports: whether giftless may listen on ports below 1024.
    :returns: ``None`` if the configuration is to stay as it is.
    :raises AskingProblem: if there is no answer to something.
    """
    words = [*TLS, KEEP] if exists and present is None else [*TLS]
    asking.say("Who does TLS?")
    asking.say("  none     nobody: clients come by plain HTTP, and so do their passwords")
    asking.say("  files    giftless, with the files of a certificate")
    asking.say("  proxy    a proxy in front: nginx, Apache, Caddy, or another")
    proposal = present.tls if present else KEEP if exists else "proxy"
    tls = asking.ask("tls", "TLS", Choice(*words), proposal, present=exists)
    if tls == KEEP:
        return None
    ask = _Edge(asking, tls, present)
    if tls == "proxy":
        return ask.behind_proxy()
    return ask.plain() if tls == "none" else ask.with_files("443" if low_ports else "8443")


class _ProxyPath(Path):
    """The path of a file that a proxy reads."""

    def parse(self, text: str) -> str:
        """See :class:`Form`."""
        path: str = super().parse(text)
        check_path(path)
        return path


class _Edge:
    """Asks for the parts of an edge.

    :param tls: what was chosen.
    :param present: what the configuration says, whichever that is.
    """

    def __init__(self, asking: Asking, tls: str, present: Edge | None) -> None:
        self._asking = asking
        self._present = present
        #: Only if the same was chosen before, other answers still fit.
        self._old = present if present is not None and present.tls == tls else None

    def plain(self) -> Edge:
        """Ask where clients come to giftless by plain HTTP."""
        listen = self._ask("listen", "Where giftless listens", Listen(), "8080")
        return Edge("none", listen, self._public_url("", needed=False))

    def with_files(self, port: str) -> Edge:
        """Ask where clients come to giftless by TLS.

        :param port: where it is to listen.
        """
        listen = self._ask("listen", "Where giftless listens", Listen(), port)
        url = self._public_url("", needed=False, secure=True)
        certificate, key = self._certificate(Path(), None)
        chain = self._ask(
            "certificate-chain",
            "The file of the certificates between, if they are not known to clients",
            Path(),
            "",
            needed=False,
        )
        return Edge("files", listen, url, certificate, key, chain)

    def behind_proxy(self) -> Edge:
        """Ask where a proxy is in front."""
        words = f"Which proxy ({', '.join(PROXIES)})"
        proxy = self._ask("proxy", words, Choice(*PROXIES), PROXIES[0])
        written = proxy != "other"
        url = self._public_url(None if written else "", needed=written)
        words = "Where giftless listens for the proxy"
        listen = self._ask("listen", words, Listen(), "127.0.0.1:8080")
        words = "From which address the proxy comes"
        address = self._ask("proxy-address", words, Address(), reached(host_and_port(listen)[0]))
        certificate = key = ""
        if written and url.startswith("https:"):
            live = f"/etc/letsencrypt/live/{urlsplit(url).hostname}"
            proposals = (f"{live}/fullchain.pem", f"{live}/privkey.pem")
            # Caddy has certificates made if it is given none.
            certificate, key = self._certificate(
                _ProxyPath(), ("", "") if proxy == "caddy" else proposals
            )
        return Edge("proxy", listen, url, certificate, key, "", proxy, address)

    def _ask(
        self, option: str, question: str, form: Form, proposal: str | None, needed: bool = True
    ) -> str:
        names = {"certificate-key": "key", "certificate-chain": "chain"}
        name = names.get(option, option.replace("-", "_"))
        old = "" if self._old is None else getattr(self._old, name)
        present = self._old is not None and bool(old or not needed)
        return str(
            self._asking.ask(
                option, question, form, old or proposal, present=present, needed=needed
            )
        )

    def _public_url(self, proposal: str | None, needed: bool, secure: bool = False) -> str:
        """Ask for the URL, which stays whoever does TLS."""
        old = "" if self._present is None else self._present.public_url
        if secure and old.startswith("http:"):
            old = ""
        present = self._present is not None and bool(old or not needed)
        return str(
            self._asking.ask(
                "public-url",
                "The server's URL, as users see it",
                PublicURL(secure),
                old or proposal,
                present=present,
                needed=needed,
            )
        )

    def _certificate(self, form: Form, proposals: Sequence[str] | None) -> tuple[str, str]:
        """Ask for the files of a certificate and its key.

        :param proposals: both; empty if neither is needed.
        """
        first, second = proposals or (None, None)
        needed = first != ""
        certificate = self._ask(
            "certificate", "The file of the certificate", form, first, needed=needed
        )
        if not certificate:
            return "", ""
        return certificate, self._ask(
            "certificate-key", "The file of its private key", form, second or None
        )
