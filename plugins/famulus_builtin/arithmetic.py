"""Sums in the user's words, by a small parser of its own: exact, bounded, and no `eval`."""

from __future__ import annotations

import re
from fractions import Fraction

CHARS_MAX = 200
DEPTH_MAX = 32
EXPONENT_MAX = 64
DIGITS_MAX = 60

_LEAD = re.compile(
    r"^(?:please\s+|(?:can|could|would) you )*"
    r"(?:(?:what(?:'s|\u2019s| is| does)?|how much(?: is| are)?|calculate|compute|evaluate|solve"
    r"|work out|add up|tell me)\s+)?(?:the (?:value|sum|result) of\s+)?",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"(?:equals?(?: to)?|make|please|in python|using python|with python|[?=.!\s])*$", re.I
)
_SPOKEN = [
    (r"\bdivided by\b|\bover\b|\u00f7|:", "/"),
    (r"\bmultiplied by\b|\btimes\b|\u00d7|\u00b7|(?<=[\d)])\s*x\s*(?=[\d(])", "*"),
    (r"\bplus\b", "+"),
    (r"\bminus\b|\u2212", "-"),
    (r"\bto the power of\b|\*\*", "^"),
    (r"\bsquared\b", "^2"),
    (r"\bcubed\b", "^3"),
    (r"\b(?:percent|per cent) of\b|%\s*of\b", "/100*"),
    (r"\bmodulo\b|\bmod\b", "%"),
]
_TOKEN = re.compile(r"\s*(?:(\d[\d,]*\.?\d*|\.\d+)|([-+*/^%()]))")


class NotASum(Exception):
    """The text is no sum that can be worked out; the message says why where it almost is."""


def answer(text: str) -> str | None:
    """The result in a sentence, or None where the text asks for no sum."""
    expression = _expression(text)
    if expression is None:
        return None
    shown = re.sub(r"\s+", " ", expression[0])
    try:
        value = _Parser(expression[1]).value()
    except ZeroDivisionError:
        return f"{shown} has no answer: it divides by zero."
    except NotASum as reason:
        return f"I cannot work out {shown}: {reason}." if str(reason) else None
    result = _written(value)
    return f"{shown} {'is' if result.startswith('about') else '='} {result}"


def sum_in(text: str) -> str | None:
    """The sum that a text asks for, as it is written there, or None."""
    expression = _expression(text)
    return expression[0] if expression else None


def _expression(text: str) -> tuple[str, str] | None:
    """The sum as written and in signs, or None."""
    if len(text) > CHARS_MAX or not any(char.isdigit() for char in text):
        return None
    shown = _TAIL.sub("", _LEAD.sub("", text.strip(), count=1))
    signs = shown
    for spoken, sign in _SPOKEN:
        signs = re.sub(spoken, f" {sign} ", signs, flags=re.IGNORECASE)
    if not re.fullmatch(r"[\d\s.,+\-*/^%()]+", signs) or not re.search(r"[\d)%]\s*[-+*/^%]", signs):
        return None
    # A date or a telephone number is not a sum.
    if re.fullmatch(r"\s*\d{4}-\d{1,2}-\d{1,2}\s*|\s*\d+/\d+/\d+\s*|[\d\s]+-\d{3,}[-\d\s]*", signs):
        return None
    return shown, signs


class _Parser:
    """Recursive descent: sum of products of signed powers."""

    def __init__(self, text: str) -> None:
        self._tokens = self._cut(text.strip())
        self._at = 0
        self._depth = 0

    def value(self) -> Fraction:
        value = self._sum()
        if self._at != len(self._tokens):
            raise NotASum
        return value

    @staticmethod
    def _cut(text: str) -> list[str]:
        tokens, at = [], 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise NotASum
            tokens.append((found[1] or found[2]).replace(",", ""))
            at = found.end()
        return tokens

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _sum(self) -> Fraction:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise NotASum(f"it is nested more than {DEPTH_MAX} deep")
        value = self._product()
        while self._peek() in ("+", "-"):
            value = value + self._product() if self._take() == "+" else value - self._product()
        self._depth -= 1
        return _bounded(value)

    def _product(self) -> Fraction:
        value = self._signed()
        while self._peek() in ("*", "/", "%"):
            sign = self._take()
            if sign == "%" and self._peek() in ("", ")", "+", "-", "*", "/"):
                value /= 100
                continue
            other = self._signed()
            value = {"*": _times, "/": _over, "%": _modulo}[sign](value, other)
        return _bounded(value)

    def _signed(self) -> Fraction:
        negative = False
        while self._peek() in ("+", "-"):
            negative ^= self._take() == "-"
        value = self._power()
        return -value if negative else value

    def _power(self) -> Fraction:
        base = self._atom()
        if self._peek() != "^":
            return base
        self._take()
        exponent = self._signed()
        if exponent.denominator != 1 or abs(exponent) > EXPONENT_MAX:
            raise NotASum(f"only whole exponents up to {EXPONENT_MAX} are worked out")
        return _bounded(base ** int(exponent))

    def _atom(self) -> Fraction:
        sign = self._take()
        if sign == "(":
            value = self._sum()
            if self._take() != ")":
                raise NotASum
            return value
        if not sign[:1].isdigit() and not sign.startswith("."):
            raise NotASum
        return Fraction(sign.rstrip("."))


def _times(left: Fraction, right: Fraction) -> Fraction:
    return left * right


def _over(left: Fraction, right: Fraction) -> Fraction:
    return left / right


def _modulo(left: Fraction, right: Fraction) -> Fraction:
    return left % right


def _bounded(value: Fraction) -> Fraction:
    if max(abs(value.numerator), value.denominator) >= 10**DIGITS_MAX:
        raise NotASum(f"the numbers get longer than {DIGITS_MAX} digits")
    return value


def _written(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    text = f"{float(value):.10g}"
    exact = rest == 1 and Fraction(text) == value
    return text if exact else f"about {text}"
