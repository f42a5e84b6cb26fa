"""Which passages say what a sentence says: by its words, its numbers and its names.

A sentence is taken to rest on a passage where one sentence of that says all that it says. Of words
that are neither numbers nor names few may differ. Where a sentence joins two facts, each may rest
on another passage.

It is better to find nothing than to cite a passage that does not say so.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cached_property

from famulus_file_search.comparison import (
    contradicts,
    has_other_names,
    has_same_names,
    has_same_numbers,
    is_replaced,
    may_miss,
)
from famulus_file_search.lexicon import SUBJECTS
from famulus_file_search.reading import (
    contrasted,
    is_assertion,
    parts_of,
    sentences_in,
    without_marks,
)
from famulus_file_search.words import Token, Words, keys_in, names_in, words_of

CANDIDATES_MAX = 24
"""Sentences with most of the words, which are looked at closely."""
PARTS_MAX = 3
MATCHED_MIN = 3
"""Words that must be the same; one less where one of them is a number or a name."""
RARE_SHARE = 0.2
RARE_MIN = 3
"""Words that no more sentences have are not just what all passages are about."""


class _Sentence:
    """A sentence of a passage, which is read closely only where something may rest on it."""

    def __init__(
        self,
        text: str,
        passage: int,
        *,
        context: frozenset[str],
        names: frozenset[str],
        is_joined: bool = False,
    ) -> None:
        self.passage = passage
        self.context = context
        """Keys of the heading and of the sentence before it."""
        self.is_joined = is_joined
        """Whether it says two things that differ, so that only what says both is said by it."""
        self._text = text
        self._names = names

    @cached_property
    def words(self) -> Words:
        """What it says."""
        return words_of(self._text, self._names)

    @cached_property
    def keys(self) -> frozenset[str]:
        """Of the words that mean something."""
        return frozenset(token.key for token in self.words.content)


class Evidence:
    """Passages, read once, that sentences may rest on."""

    def __init__(self, passages: Sequence[str]) -> None:
        texts = [list(sentences_in(passage)) for passage in passages]
        self._names = frozenset(
            name for of_one in texts for _, sentence in of_one for name in names_in(sentence)
        )
        self._sentences: list[_Sentence] = []
        self._with: defaultdict[str, list[int]] = defaultdict(list)
        """By the keys that are seen at a glance, the sentences that have them."""
        for number, of_one in enumerate(texts):
            self._read(number, of_one)
        self._rare_max = max(RARE_MIN, int(RARE_SHARE * len(self._sentences)))

    def _read(self, number: int, sentences: Sequence[tuple[bool, str]]) -> None:
        heading: frozenset[str] = frozenset()
        before: frozenset[str] = frozenset()
        for is_heading, text in sentences:
            keys = keys_in(text)
            if is_heading:
                heading, before = keys, frozenset()
                continue
            parts = contrasted(text)
            self._add(text, number, keys, context=heading | before, is_joined=len(parts) > 1)
            for part in parts if len(parts) > 1 else ():
                keys = keys_in(part)
                self._add(part, number, keys, context=heading | before)
                before = keys
            before = keys

    def _add(
        self,
        text: str,
        passage: int,
        keys: frozenset[str],
        *,
        context: frozenset[str],
        is_joined: bool = False,
    ) -> None:
        for key in keys:
            self._with[key].append(len(self._sentences))
        sentence = _Sentence(text, passage, context=context, names=self._names, is_joined=is_joined)
        self._sentences.append(sentence)

    def supports(self, sentence: str) -> Sequence[int]:
        """The numbers of the passages that say what the sentence says; empty where none does."""
        sentence = without_marks(sentence)
        if not is_assertion(sentence):
            return ()
        is_joined = len(contrasted(sentence)) > 1
        found = self._best(words_of(sentence, self._names), is_joined=is_joined)
        if found is not None:
            return (found,)
        parts = parts_of(sentence)
        if not 1 < len(parts) <= PARTS_MAX:
            return ()
        rest = []
        names: list[Token] = []
        for part in parts:
            words = words_of(part, self._names)
            own = [token for token in words.tokens if token.kind == "name"]
            has_subject = bool(own) or part.split()[0].lower() in SUBJECTS
            found = self._best(words, also=() if has_subject else names)
            if found is None:
                return ()
            names = own or names
            rest.append(found)
        return tuple(dict.fromkeys(rest))

    def _best(
        self, words: Words, also: Sequence[Token] = (), *, is_joined: bool = False
    ) -> int | None:
        """The passage with the sentence that says it best; the first of those that do it alike."""
        content = [*also, *words.content]
        weights: Counter[int] = Counter()
        for token in {token.key: token for token in content}.values():
            for at in self._with.get(token.key, ()):
                weights[at] += 1
        best: tuple[float, int] | None = None
        for at, _ in sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:CANDIDATES_MAX]:
            sentence = self._sentences[at]
            if sentence.is_joined and not is_joined:
                continue
            value = self._says(sentence, words, content)
            if value > 0 and (best is None or value > best[0]):
                best = value, sentence.passage
        return None if best is None else best[1]

    def _says(self, sentence: _Sentence, words: Words, content: Sequence[Token]) -> float:
        """How much of it the sentence says; 0 where it does not say it, or something else."""
        source = sentence.words
        matched = [token for token in content if token.key in sentence.keys]
        missing = [token for token in content if token.key not in sentence.keys]
        said = {token.key for token in content}
        # What it is about may be named before it; what is said of that may not.
        begin = min((token.place for token in matched), default=0)
        in_context = [
            token
            for token in missing
            if token.key in sentence.context and token.kind != "number" and token.place < begin
        ]
        if not self._is_enough(matched, in_context):
            return 0
        if any(token.kind == "name" for token in in_context) and has_other_names(source, said):
            return 0
        missing = [token for token in missing if token not in in_context]
        if (
            not may_miss(missing, content)
            or is_replaced([*missing, *in_context], content, source)
            or contradicts(source, words, said)
            or not has_same_numbers(source, words, said)
            or not has_same_names(source, words, said)
        ):
            return 0
        share = len(matched) + 0.5 * len(in_context)
        return share / len(content) + 0.01 * len(matched) / (1 + len(sentence.keys))

    def _is_enough(self, matched: Sequence[Token], in_context: Sequence[Token]) -> bool:
        """Whether the same words are more than what all passages are about."""
        has_anchor = any(token.kind in ("number", "name") for token in matched)
        return (
            len(matched) >= max(MATCHED_MIN - has_anchor, len(in_context))
            and any(token.kind != "name" for token in matched)
            and any(len(self._with.get(token.key, ())) <= self._rare_max for token in matched)
        )
