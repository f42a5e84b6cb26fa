"""A plugin whose module cannot be imported."""

raise RuntimeError("the wheels came off")
