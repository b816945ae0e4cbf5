"""What giftless brings to ``twistd``: its command and its built-in plugins.

Third-party plugins stand in files beside this one, in the same form.
"""

from twisted.application.service import ServiceMaker

from giftless.app.plugins import LazyPlugin
from giftless.interfaces import (
    IAuthenticatorFactory,
    ICatalogueFactory,
    IKeyringFactory,
    IKeyWrapperFactory,
    ILockStoreFactory,
    IObserverFactory,
    IStorageFactory,
    ITransferFactory,
)

daemon = ServiceMaker(
    "giftless",
    "giftless.runtime.twistd",
    "A Git LFS server and storage access gateway.",
    "giftless",
)

local_storage = LazyPlugin(
    IStorageFactory, "local", "giftless.storage.local.factory.LocalFactory", tls=False
)

s3_storage = LazyPlugin(IStorageFactory, "s3", "giftless.storage.s3.factory.S3Factory")

gcs_storage = LazyPlugin(IStorageFactory, "gcs", "giftless.storage.gcs.factory.GCSFactory")

azure_storage = LazyPlugin(IStorageFactory, "azure", "giftless.storage.azure.factory.AzureFactory")

moving_storage = LazyPlugin(
    IStorageFactory, "moving", "giftless.storage.moving.factory.MovingFactory"
)

compressed_storage = LazyPlugin(
    IStorageFactory, "compressed", "giftless.storage.coded.factory.CompressedFactory"
)

mirror_storage = LazyPlugin(
    IStorageFactory, "mirror", "giftless.storage.mirror.factory.MirrorFactory"
)
cache_storage = LazyPlugin(IStorageFactory, "cache", "giftless.storage.cache.factory.CacheFactory")

encrypted_storage = LazyPlugin(
    IStorageFactory, "encrypted", "giftless.storage.encrypted.factory.EncryptedFactory"
)

anonymous = LazyPlugin(
    IAuthenticatorFactory, "anonymous", "giftless.auth.anonymous.AnonymousFactory", tls=False
)

confined = LazyPlugin(IAuthenticatorFactory, "below", "giftless.auth.below.BelowFactory")

mirror_callers = LazyPlugin(
    IAuthenticatorFactory, "mirror", "giftless.auth.mirror.MirrorAuthFactory", tls=False
)

jwt_tokens = LazyPlugin(IAuthenticatorFactory, "jwt", "giftless.auth.tokens.jwt.JWTFactory")

oidc_log_ins = LazyPlugin(IAuthenticatorFactory, "oidc", "giftless.auth.oidc.factory.OIDCFactory")

basic_passwords = LazyPlugin(
    IAuthenticatorFactory, "basic", "giftless.auth.passwords.basic.BasicFactory", tls=False
)

client_certificates = LazyPlugin(
    IAuthenticatorFactory, "certificate", "giftless.auth.x509.certificate.CertificateFactory"
)

ldap_directory = LazyPlugin(
    IAuthenticatorFactory, "ldap", "giftless.auth.ldap.factory.LDAPFactory", tls=False
)

github = LazyPlugin(IAuthenticatorFactory, "github", "giftless.auth.forges.github.GitHubFactory")

gitea = LazyPlugin(IAuthenticatorFactory, "gitea", "giftless.auth.forges.gitea.GiteaFactory")

gitlab = LazyPlugin(IAuthenticatorFactory, "gitlab", "giftless.auth.forges.gitlab.GitLabFactory")

keys_file = LazyPlugin(IKeyringFactory, "file", "giftless.auth.keys.file.FileFactory", tls=False)

certificates = LazyPlugin(
    IKeyringFactory,
    "certificates",
    "giftless.auth.keys.certificates.keyring.CertificateFactory",
    tls=False,
)

github_keys = LazyPlugin(IKeyringFactory, "github", "giftless.auth.keys.forges.GitHubKeysFactory")

gitea_keys = LazyPlugin(IKeyringFactory, "gitea", "giftless.auth.keys.forges.GiteaKeysFactory")

gitlab_keys = LazyPlugin(IKeyringFactory, "gitlab", "giftless.auth.keys.forges.GitLabKeysFactory")

wrapping_keys_file = LazyPlugin(
    IKeyWrapperFactory, "file", "giftless.storage.encrypted.keyfile.KeyFileFactory", tls=False
)

sqlite_locks = LazyPlugin(
    ILockStoreFactory, "sqlite", "giftless.locks.sqlite.SQLiteFactory", tls=False
)

postgresql_locks = LazyPlugin(
    ILockStoreFactory, "postgresql", "giftless.locks.postgresql.PostgreSQLFactory", tls=False
)

moving_locks = LazyPlugin(
    ILockStoreFactory, "moving", "giftless.locks.moving.MovingLocksFactory", tls=False
)

no_locks = LazyPlugin(ILockStoreFactory, "none", "giftless.locks.none.NoLocksFactory", tls=False)

sqlite_catalogue = LazyPlugin(
    ICatalogueFactory, "sqlite", "giftless.catalogue.sqlite.SQLiteFactory", tls=False
)

postgresql_catalogue = LazyPlugin(
    ICatalogueFactory, "postgresql", "giftless.catalogue.postgresql.PostgreSQLFactory", tls=False
)

no_catalogue = LazyPlugin(
    ICatalogueFactory, "none", "giftless.catalogue.none.NoCatalogueFactory", tls=False
)

basic_transfer = LazyPlugin(
    ITransferFactory, "basic", "giftless.transfer.basic.BasicFactory", tls=False
)

multipart_transfer = LazyPlugin(
    ITransferFactory, "multipart-basic", "giftless.transfer.multipart.MultipartFactory", tls=False
)

agent_transfer = LazyPlugin(
    ITransferFactory, "giftless", "giftless.transfer.agent.AgentFactory", tls=False
)

tus_transfer = LazyPlugin(ITransferFactory, "tus", "giftless.transfer.tus.TusFactory", tls=False)

audit = LazyPlugin(IObserverFactory, "audit", "giftless.observers.audit.AuditFactory", tls=False)

webhooks = LazyPlugin(
    IObserverFactory, "webhooks", "giftless.observers.webhooks.factory.WebhooksFactory"
)
