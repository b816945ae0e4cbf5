"""The kinds of storage and of identities that can be chosen, and what is asked for each.

A kind is a plugin's ``type``.  Each field is one of its options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from giftless.setup.values import (
    URL,
    DataPath,
    Form,
    Grants,
    LDAPServers,
    Names,
    Path,
    Secret,
    Text,
)

#: Stands in a default for the directory of the configuration, and of data.
FOLDER: Final = "{folder}"
DATA: Final = "{data}"


@dataclass(frozen=True)
class Field:
    """One question, and the option of the plugin that its answer is.

    :ivar option: the option of the command line, without dashes.
    :ivar key: the plugin's option.
    :ivar question: asks for it.
    :ivar default: what is proposed; ``None`` if an answer is needed and none can be.
    :ivar form: what can be answered.
    :ivar hidden: ``value`` if the answer is a secret, ``file`` if it is one that stands in a
        file, whose path is the plugin's option; the default names that file then.
    :ivar needs: the key of another field without which this is not asked.
    """

    option: str
    key: str
    question: str
    default: str | None = ""
    form: Form = field(default_factory=Text)
    hidden: Literal["", "value", "file"] = ""
    needs: str = ""

    @property
    def source(self) -> str:
        """The option of the command line: a secret is taken from a source."""
        return f"{self.option}-from" if self.hidden else self.option


@dataclass(frozen=True)
class Kind:
    """One kind of storage or identity.

    :ivar words: what it is, for people.
    :ivar fields: what is asked.
    """

    words: str
    fields: Sequence[Field]


_ORGS: Final = "Which organisations' or users' repositories are served (* for everybody's)"

STORAGES: Final[Mapping[str, Kind]] = {
    "local": Kind(
        "a directory of this machine",
        (Field("local-path", "path", "The directory", f"{DATA}/objects", DataPath()),),
    ),
    "s3": Kind(
        "a bucket of S3, or of a store that speaks its protocol",
        (
            Field("s3-bucket", "bucket", "The bucket", None),
            Field("s3-region", "region", "Its region", "us-east-1"),
            Field("s3-endpoint", "endpoint_url", "The store's URL, if not Amazon's", "", URL()),
            Field("s3-key-id", "access_key_id", "The id of the key; none: AWS's usual places"),
            Field(
                "s3-secret",
                "secret_access_key",
                "The secret key",
                None,
                Secret(),
                hidden="value",
                needs="access_key_id",
            ),
        ),
    ),
    "gcs": Kind(
        "a bucket of Google Cloud Storage",
        (
            Field("gcs-bucket", "bucket", "The bucket", None),
            Field(
                "gcs-credentials",
                "credentials_file",
                "The file of a service account's key; none: Google's usual places",
                "",
                Path(),
            ),
        ),
    ),
    "azure": Kind(
        "a container of Azure Blob storage",
        (
            Field("azure-container", "container", "The container", None),
            Field("azure-account", "account", "The storage account", None),
            Field(
                "azure-key",
                "account_key",
                "The account's key; none: Azure's usual places",
                "",
                Secret(),
                hidden="value",
            ),
        ),
    ),
}

#: In the order in which they are asked who somebody is: those first that show the
#: credentials of others to nobody.
IDENTITIES: Final[Mapping[str, Kind]] = {
    "basic": Kind(
        "users with passwords in a file",
        (
            Field("htpasswd", "htpasswd", "The file of passwords", f"{FOLDER}/htpasswd", Path()),
            Field("grants", "access", "The file of grants", f"{FOLDER}/access.yaml", Path()),
        ),
    ),
    "jwt": Kind(
        "tokens that you make (giftless token)",
        (Field("jwt-key-file", "key_file", "The file of the key", f"{FOLDER}/jwt.key", Path()),),
    ),
    "oidc": Kind(
        "log-ins with a browser at an issuer of OpenID Connect",
        (
            Field("oidc-issuer", "issuer", "The issuer's URL, as in its tokens", None, URL()),
            Field("oidc-audience", "audience", "For whom its tokens are (aud)", None, Names()),
            Field(
                "oidc-grants",
                "grants",
                "What groups may do: GROUP=ORG/REPO:LEVEL (* is everybody)",
                "*=**:write",
                Grants(),
            ),
        ),
    ),
    "ldap": Kind(
        "accounts of a directory: LDAP, Active Directory",
        (
            Field("ldap-urls", "urls", "The servers' URLs", None, LDAPServers()),
            Field("ldap-user-base", "user_base", "Below which DN users are", None),
            Field("ldap-user-filter", "user_filter", "Which entry is a user's", "(uid={user})"),
            Field("ldap-bind-dn", "bind_dn", "The DN of the account that searches; none: anybody"),
            Field(
                "ldap-password",
                "password_file",
                "Its password",
                f"{FOLDER}/ldap-password",
                Secret(),
                hidden="file",
                needs="bind_dn",
            ),
            Field("ldap-group-base", "group_base", "Below which DN groups are; none: no groups"),
            Field(
                "ldap-grants",
                "grants",
                "What groups may do: GROUP=ORG/REPO:LEVEL (* is everybody)",
                "*=**:write",
                Grants(),
            ),
        ),
    ),
    "github": Kind(
        "accounts of GitHub",
        (
            Field("github-orgs", "orgs", _ORGS, None, Names()),
            Field("github-api", "api_url", "The API's URL, if not github.com's", "", URL()),
        ),
    ),
    "gitea": Kind(
        "accounts of Gitea or Forgejo",
        (
            Field("gitea-url", "url", "The instance's URL", None, URL()),
            Field("gitea-orgs", "orgs", _ORGS, None, Names()),
        ),
    ),
    "gitlab": Kind(
        "accounts of GitLab",
        (
            Field("gitlab-url", "url", "The instance's URL", "https://gitlab.com", URL()),
            Field("gitlab-orgs", "orgs", _ORGS, None, Names()),
        ),
    ),
}


def kind_of(section: Any) -> str:
    """Return the ``type`` of a section, whoever has written it; empty if it has none."""
    kind = section.get("type") if isinstance(section, dict) else None
    return kind if isinstance(kind, str) else ""


def section_of(kind: str, values: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """Make a section of the configuration.

    :param kind: its ``type``.
    :param values: the answers, by the plugin's options.
    :param old: the section that was there; what is not asked for is taken over if it is of
        the same kind.
    """
    section = dict(old) if old.get("type") == kind else {"type": kind}
    for key, value in values.items():
        if value in ("", None, [], {}):
            section.pop(key, None)
        else:
            section[key] = value
    return section
