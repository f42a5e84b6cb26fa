"""Boxes for code that live elsewhere: kernels behind a Jupyter gateway, such as pods of gVisor."""

from famulus_remote_sandbox.plugin import RemoteSandbox

__all__ = ["RemoteSandbox"]
