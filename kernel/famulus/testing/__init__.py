"""The testing kit: what a plugin's author needs to test it, shipped with the server."""
