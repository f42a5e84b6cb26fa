"""What the plugins share that search vector stores in this process: exact search and words.

A library, not a plugin: it registers nothing. They import its modules: `settings` always, and the
rest where they run. numpy is imported when something is first searched.
"""
