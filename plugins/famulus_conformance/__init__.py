"""How far a server, ours or any other, is OpenAI's API."""
