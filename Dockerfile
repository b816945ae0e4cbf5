# giftless in a container: "docker build -t giftless ." (docs/install/container.rst).

# -- A virtual environment, with everything that a configuration may name: the libraries of the
# Debian package ("make pins").
FROM debian:trixie-slim AS build

# There are wheels for most of it; python-ldap is compiled.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        gcc libc6-dev libldap-dev libsasl2-dev python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY etc/requirements.txt etc/
RUN python3 -m venv /opt/giftless \
    && /opt/giftless/bin/pip install --no-cache-dir --require-hashes --only-binary :all: \
        --no-binary python-ldap -r etc/requirements.txt

# The last command writes Twisted's plugin cache, which nobody can do later.
COPY . .
RUN /opt/giftless/bin/pip install --no-cache-dir --no-deps . \
    && /opt/giftless/bin/twistd --help >/dev/null


# -- What runs.
FROM debian:trixie-slim

ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="giftless" \
      org.opencontainers.image.description="A Git LFS server" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/debian:trixie-slim" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

# Nothing in it gives rights to who runs it.  The volume may also be written by any other user
# whose group is root, as OpenShift has it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libldap2 libsasl2-2 python3 tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 giftless \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/giftless --no-create-home \
        --shell /usr/sbin/nologin giftless \
    && install -d -o giftless -g root -m 0770 /var/lib/giftless \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} +

COPY --from=build /opt/giftless /opt/giftless
COPY etc/container.yaml /etc/giftless/giftless.yaml

ENV PATH=/opt/giftless/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/var/lib/giftless \
    GIFTLESS_CONFIG=/etc/giftless/giftless.yaml
WORKDIR /var/lib/giftless
VOLUME /var/lib/giftless
EXPOSE 8080

# By number: Kubernetes must know that it is not root.
USER 10001:10001

# It lets transfers finish for shutdown_timeout (60 s): give it 75 s to stop, not 10.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["giftless", "health"]

# The kernel drops signals to the first process until that listens, which takes Python half a
# second: tini passes them on from the start.
ENTRYPOINT ["tini", "--", "twistd", "--nodaemon", "--pidfile=", "giftless"]
