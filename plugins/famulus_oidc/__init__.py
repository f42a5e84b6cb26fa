"""Lets in whoever brings a JWT of an issuer that the operator trusts (OpenID Connect)."""

from famulus_oidc.plugin import Oidc

__all__ = ["Oidc"]
