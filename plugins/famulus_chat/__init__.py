"""Chat completions, completions and embeddings, passed on to whichever model server answers."""

from famulus_chat.plugin import Chat
from famulus_chat.settings import ChatSettings

__all__ = ["Chat", "ChatSettings"]
