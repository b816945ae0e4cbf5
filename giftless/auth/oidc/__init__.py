"""``auth: {type: oidc}``: whoever logs in at an issuer of OpenID Connect.

``factory`` builds the ``authenticator`` of its ``options``.  That finds ``people`` behind
tokens: by the signatures of those that are JSON Web Tokens (``signed``), by asking the issuer
about others (``questions``), and by what the ``claims`` say.  Where the issuer's keys and
endpoints are, its own document tells (``discovery``).
"""
