"""Authentication by a directory: LDAP (RFC 4510), Active Directory among others."""
