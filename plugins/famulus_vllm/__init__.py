"""vLLM servers: exact token counts, priorities, context lengths, structured output."""

from famulus_vllm.plugin import Vllm
from famulus_vllm.settings import VllmSettings

__all__ = ["Vllm", "VllmSettings"]
