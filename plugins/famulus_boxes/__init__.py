"""What local sandboxes share: the loop in a box, its other end here, limits, probe and watchdog.

A library, not a plugin: it registers nothing. Each plugin that shuts boxes in brings a `Wall`, and
has `BoxSettings` in its own.
"""
