"""Run a fake forge as a process: ``python -m tests.support.forge_server github``.

``NAME=KEY`` behind the kind of forge gives people a public key of SSH.  All of them belong to
the organisation ``acme``.

It has the repositories ``acme/rocket`` and ``acme/Engine``, which was called
``acme/booster`` before, and the tokens of :data:`TOKENS`, prints
its URL and serves until it is killed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from twisted.internet import reactor

from tests.support.forges import (
    Fake,
    FakeGitea,
    FakeGitHub,
    FakeGitLab,
    HubRepo,
    HubToken,
    LabToken,
    Person,
    Project,
    TeaRepo,
    TeaToken,
)

#: On each forge the tokens of wanda, who may write, of ray, who may read, and
#: of sam, who may do nothing.
TOKENS: Mapping[str, Mapping[str, str]] = {
    "github": {
        "wanda": "ghp_wandawandawandawandawandawandawandaw",
        "ray": "github_pat_rayrayrayrayrayrayrayr_rayrayrayrayray",
        "sam": "gho_samsamsamsamsamsamsamsamsamsamsamsam",
    },
    "gitea": {"wanda": "a" * 40, "ray": "b" * 40, "sam": "c" * 40},
    "gitlab": {
        "wanda": "glpat-wandawandawandawanda",
        "ray": "glpat-rayrayrayrayrayrayray",
        "sam": "glpat-samsamsamsamsamsamsam",
    },
}


def make(kind: str) -> Fake:
    """Make the forge of a kind."""
    tokens = TOKENS[kind]
    if kind == "github":
        hub = FakeGitHub(
            {
                tokens["wanda"]: HubToken("wanda", ("repo",)),
                tokens["ray"]: HubToken("ray", contents={"acme/rocket": "read"}),
                tokens["sam"]: HubToken("sam", ("repo",)),
            },
            {
                "acme/rocket": HubRepo({"wanda": "write", "ray": "write"}),
                "acme/booster": HubRepo({"wanda": "write"}),
            },
        )
        hub.names.rename("acme/booster", "acme/Engine", hub.repos)
        return hub
    if kind == "gitea":
        tea = FakeGitea(
            {token: TeaToken(user) for user, token in tokens.items()},
            {
                "acme/rocket": TeaRepo({"wanda": "write", "ray": "read"}),
                "acme/booster": TeaRepo({"wanda": "write"}),
            },
        )
        tea.names.rename("acme/booster", "acme/Engine", tea.repos)
        return tea
    lab = FakeGitLab(
        {token: LabToken(user) for user, token in tokens.items()},
        {
            "acme/rocket": Project({"wanda": 30, "ray": 20}),
            "acme/booster": Project({"wanda": 30}),
        },
    )
    lab.names.rename("acme/booster", "acme/Engine", lab.projects)
    return lab


def main() -> None:
    """Serve."""
    fake = make(sys.argv[1])
    for argument in sys.argv[2:]:
        name, _, key = argument.partition("=")
        fake.people[name] = Person([key])
    fake.orgs["acme"] = list(fake.people)
    fake.listen(reactor)
    print(fake.url, flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
