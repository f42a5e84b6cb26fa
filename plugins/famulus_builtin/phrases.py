"""What the stand-in says of itself, and the small talk that it knows."""

from __future__ import annotations

import re

IDENTITY = (
    "I am the built-in stand-in of Famulus, not a language model: I have no weights, and I answer "
    "by fixed rules"
)
CONNECT = (
    "To connect a real model, start any server that speaks OpenAI's API, such as vLLM or Ollama, "
    "and start Famulus with its address: famulus serve --backend http://127.0.0.1:8000/v1. Its "
    "models are then listed under /v1/models, and assistants can name them."
)
ABILITIES = (
    "I can call the functions that an assistant offers, read out their results, quote from files "
    "that were searched, fill in JSON schemas, do arithmetic, repeat what you ask me to say, and "
    "remember what you told me in this conversation."
)

_POLITE = r"(?:please |kindly |(?:can|could|would|will) you (?:please )?|now |just |only ){0,4}"
_SAY = re.compile(
    rf"^\s*{_POLITE}(?:say|repeat|echo|print|(?:reply|respond|answer|write back) "
    r"(?:only |just |exactly )?with(?: only| just| exactly)?)"
    r"(?: (?:after me|exactly|the following(?=:)|this(?=:)|the words?|the text|back)){0,3}"
    r"\s*[:,]?\s+(?P<what>\S.*)$",
    re.IGNORECASE | re.DOTALL,
)
_COUNT = re.compile(
    rf"^\s*{_POLITE}count (?P<down>down )?(?:from (?P<low>\d{{1,4}}) )?(?:up )?to "
    r"(?P<high>\d{1,4})\b",
    re.IGNORECASE,
)
_GREETING = re.compile(
    r"^\s*(?:hi|hello|hey|howdy|greetings|hallo|good (?:morning|afternoon|evening|day))"
    r"(?: (?:there|everyone|all|again|world|famulus|you|friend|assistant)){0,3}[\s,.!?]*"
    r"(?:how are you(?: doing)?(?: today)?|how(?:'s| is) it going)?[\s.!?]*$",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"^\s*(?:many )?(?:thanks?|thank you|thx|cheers)"
    r"(?: (?:a lot|so much|very much|you)){0,2}[\s.!]*$",
    re.IGNORECASE,
)
_FAREWELL = re.compile(r"^\s*(?:good ?bye|bye(?: bye)?|see you(?: later)?|farewell)[\s.!]*$", re.I)
_WHO = re.compile(
    r"^\s*(?:so )?(?:(?:who|what) (?:exactly )?(?:are|r) you\b"
    r"|(?:which|what) (?:ai |language )?(?:model|llm|ai)\b.*\b(?:you|this|running|using)\b"
    r"|are you (?:a |an )?(?:real |large )?(?:language |ai )?"
    r"(?:model|llm|ai|gpt\S*|chatgpt|human|bot|robot|person|openai)\b"
    r"|what(?:'s| is) your name\b|(?:introduce|tell me about) yourself\b|how are you\b)",
    re.IGNORECASE,
)
_CONNECTS = re.compile(
    r"\b(?:connect|use|add|configure|set up|plug in|switch to|get)\b.{0,40}"
    r"\b(?:real|actual|proper|other|another|own|different)\b.{0,20}\b(?:model|llm|backend)"
    r"|\b(?:connect|configure|set up) (?:a |an |the |my )?(?:model|backend|vllm|ollama|llm)\b",
    re.IGNORECASE,
)
_ABLE = re.compile(
    r"^\s*(?:so )?(?:what can you do\b|(?:help|\?)[\s!?.]*$|how can you help\b"
    r"|what are you (?:able|capable)\b|what do you do\b)",
    re.IGNORECASE,
)

COUNT_MAX = 500


def said_to_say(asked: str) -> str | None:
    """What the user wants to be said word for word, or None."""
    match = _SAY.match(asked)
    if match is None:
        return None
    what = match["what"].rstrip()
    quoted = re.fullmatch(r"[\"'\u201c\u2018](.+)[\"'\u201d\u2019][.!]?", what, re.DOTALL)
    return quoted[1] if quoted else what


def counted(asked: str) -> str | None:
    """The numbers that the user wants to be counted, or None."""
    match = _COUNT.match(asked)
    if match is None:
        return None
    low, high = int(match["low"] or 1), int(match["high"])
    step = -1 if match["down"] or high < low else 1
    if abs(high - low) > COUNT_MAX:
        return f"I count no further than {COUNT_MAX} numbers at once."
    return ", ".join(str(number) for number in range(low, high + step, step)) + "."


def small_talk(asked: str) -> str | None:
    """An honest answer to a greeting or to a question about the stand-in itself, or None."""
    if _CONNECTS.search(asked):
        return f"{IDENTITY}. {CONNECT}"
    if _GREETING.match(asked):
        return f"Hello! {IDENTITY}. {ABILITIES}"
    if _ABLE.match(asked):
        return f"{IDENTITY}. {ABILITIES} {CONNECT}"
    if _WHO.match(asked):
        return f"{IDENTITY}. {CONNECT}"
    if _THANKS.match(asked):
        return "You are welcome."
    if _FAREWELL.match(asked):
        return "Goodbye."
    return None
