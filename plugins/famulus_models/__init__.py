"""The router behind INFERENCE: every model server as one, with aliases, fallbacks and retries."""

from famulus_models.plugin import Models
from famulus_models.settings import ModelsSettings

__all__ = ["Models", "ModelsSettings"]
