"""How many tokens a text is: by a rule, since no vocabulary comes with the server.

The rule cuts a text as OpenAI's tokenizers do before they look anything up (a word with the blank
or the sign before it, three digits, a run of signs, a run of blanks), and supposes how far such a
piece is cut on. How near it comes to `cl100k_base` is in README.md.
"""

from __future__ import annotations

import re

# Every repetition has an end, so that the time taken grows with the length and nothing else.
_TOKEN = re.compile(
    # Words in plain letters: most of up to eight are one token, and others some.
    r"[^\w\n]?_?[A-Z]?[a-z]{1,8}(?![a-z])|[^\w\n]?_?[A-Z]?[a-z]{1,4}|[^\w\n]?_?[A-Z]{1,3}"
    r"|\d{1,3}"
    # Latin letters with marks, Han, kana and hangul, other scripts.
    r"|[^\W\d_A-Za-z\u0370-\uffff][a-z]?"
    r"|[\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef]"
    r"|[^\w\s]?[^\W\d_\x00-\u036f]{1,3}"
    # Signs, and blanks.
    r"| ?[^\w\s]{1,4}\n{0,64}|_{1,4}"
    r"|\n{1,64}|[^\S\n]{1,64}(?=[^\W\d_])|[^\S\n]{1,64}|."
)
_MARKED = re.compile("[\u00c0-\u024f]")
_HAN = re.compile("[\u3400-\u9fff]")
TOKENS_PER_MARKED = 2
"""Where a letter has a mark, the words around it are no English ones, and are cut more often."""
HAN_PER_TOKEN = 4
"""One Han character in so many is two tokens."""


def count(text: str) -> int:
    """Tokens of a text, about; of a text in parts, about the sum of the parts'."""
    # A blank belongs to the word behind it.
    text = text.removesuffix(" ")
    tokens = len(_TOKEN.findall(text))
    if text.isascii():
        return tokens
    marked, han = len(_MARKED.findall(text)), len(_HAN.findall(text))
    return tokens + marked * TOKENS_PER_MARKED + han // HAN_PER_TOKEN
