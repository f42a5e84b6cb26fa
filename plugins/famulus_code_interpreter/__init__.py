"""Code that models write, run in boxes: the tool `code_interpreter`."""

from famulus_code_interpreter.plugin import CodeInterpreterPlugin

__all__ = ["CodeInterpreterPlugin"]
