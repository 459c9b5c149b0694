"""Secrets that hold a ServiceAccount's token (core/v1 SecretTypeServiceAccountToken), as they name the account."""

TYPE = "kubernetes.io/service-account-token"
ACCOUNT = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
