"""Model servers that speak OpenAI's chat completions: Ollama, llama.cpp, vLLM, any hosted API."""

from famulus_openai_compatible.plugin import OpenAICompatible
from famulus_openai_compatible.settings import OpenAICompatibleSettings

__all__ = ["OpenAICompatible", "OpenAICompatibleSettings"]
