"""Notes for models and their users, and a model that needs no weights."""
