"""What the plugins that reach model servers over HTTP share: one client for OpenAI's dialect.

A library, not a plugin: it registers nothing, and has no settings of its own but the structs
that such plugins put into theirs. They import its modules: `settings` always, and the rest where
there is a server to reach.
"""
