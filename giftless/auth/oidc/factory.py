"""Builds the authenticator of ``auth: {type: oidc}``."""

from __future__ import annotations

from functools import partial
from typing import Any

from giftless.auth.grant_lists import GrantLists
from giftless.auth.oidc.authenticator import OIDCAuthenticator
from giftless.auth.oidc.discovery import Discovery
from giftless.auth.oidc.options import OIDCOptions
from giftless.auth.oidc.people import People
from giftless.auth.oidc.questions import Questions
from giftless.auth.oidc.signed import SignedTokens
from giftless.base.addresses import parse_networks
from giftless.base.dialling import Lookups
from giftless.base.reaching_client import Closing, ReachingClient
from giftless.interfaces import Environment


class OIDCFactory:
    """Builds :class:`OIDCAuthenticator` from :class:`OIDCOptions`."""

    Options = OIDCOptions

    def build(self, options: OIDCOptions, environment: Environment) -> OIDCAuthenticator:
        """See :meth:`giftless.interfaces.IAuthenticatorFactory.build`.

        Nothing is asked of the issuer yet: the server starts without it.

        :raises ConfigError: if an option cannot be used.
        """
        options.check()
        grants = GrantLists.of_option("grants", options.grants)
        networks = parse_networks("networks", options.networks)
        secret = options.secret()
        reactor: Any = environment.reactor
        clock, wall_clock, count = reactor, environment.wall_clock, environment.count_lookup
        client = ReachingClient(reactor, options.issuer, Lookups(reactor), networks)
        Closing(client).setServiceParent(environment.services)
        discovery = Discovery(options.issuer, client, options.jwks_max_age, clock)
        signed = SignedTokens(discovery, options, clock, wall_clock, partial(count, "jwks"))
        questions = Questions(discovery, options, secret, clock, wall_clock)
        people = People(signed, questions, options, clock, wall_clock, partial(count, "oidc"))
        return OIDCAuthenticator(people, grants, options.issuer, options.scopes)
