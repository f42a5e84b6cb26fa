"""Administration over HTTP: projects, their keys and service accounts, and admin keys."""

from famulus_admin.plugin import Admin

__all__ = ["Admin"]
