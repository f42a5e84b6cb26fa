"""Containers: boxes with files that clients make, for code to run in."""

from famulus_containers.plugin import ContainersPlugin

__all__ = ["ContainersPlugin"]
