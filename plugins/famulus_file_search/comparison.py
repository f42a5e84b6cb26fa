"""Whether two sentences that share words say the same.

Numbers must be the same, of the same unit, and said of the same; names must play the same parts;
and neither may deny what the other says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from famulus_file_search.lexicon import MONTHS, OPPOSITES, ORDINALS
from famulus_file_search.words import Token, Words

NEAR = 4
"""So many words behind another are taken to belong to it."""


def may_miss(missing: Sequence[Token], content: Sequence[Token]) -> bool:
    """Whether so much may be said in other words."""
    if any(token.kind in ("number", "name", "wide") for token in missing):
        return False
    real = [token for token in missing if token.kind == "word"]
    if any(token.place == 0 for token in real):
        # The subject, of which it is said.
        return False
    size = sum(token.kind != "generic" for token in content)
    return len(real) <= (0 if size < 6 else 1 if size < 12 else 2)


def is_replaced(missing: Sequence[Token], content: Sequence[Token], source: Words) -> bool:
    """Whether another word stands there in the place of one that is missing."""
    said = {token.key for token in content}
    theirs = source.content
    for token in missing:
        if token.kind != "word":
            continue
        at = content.index(token)
        for step in (1, -1):
            beside = content[at + step : at + step + 1] if at + step >= 0 else ()
            for place, other in enumerate(theirs):
                if not beside or other.key != beside[0].key or not 0 <= place - step < len(theirs):
                    continue
                instead = theirs[place - step]
                is_near = instead.segment == other.segment and instead.kind in ("word", "generic")
                if is_near and instead.key not in said:
                    return True
    return False


def contradicts(source: Words, words: Words, said: set[str]) -> bool:
    """Whether one denies what the other says, or says the opposite."""
    if words.denials != source.denials:
        return True
    have = {token.key for token in source.content}
    theirs = [keys for _, keys in source.negated]
    ours = [keys for _, keys in words.negated]
    if any(not any(keys & have & others for others in theirs) for keys in ours):
        return True
    for keys in theirs:
        if len(keys & said) > len(keys) / 2 and not any(keys & others for others in ours):
            return True
    if ours and not _denied_alike(source, said):
        return True
    return any(
        words.raw & left and source.raw & right and not (words.raw & right or source.raw & left)
        for one, other in OPPOSITES
        for left, right in ((one, other), (other, one))
    )


def _denied_alike(source: Words, said: set[str]) -> bool:
    """Whether what is said stands where the source denies something, and not elsewhere in it."""
    denied = {segment for segment, _ in source.negated}
    inside = {token.key for token in source.content if token.segment in denied}
    outside = {token.key for token in source.content if token.segment not in denied}
    only_outside = {
        token.key
        for token in source.content
        if token.kind in ("name", "number") and token.key in outside - inside
    }
    repeated = inside & outside & said
    return not (repeated and only_outside & said)


def has_same_numbers(source: Words, words: Words, said: set[str]) -> bool:
    """Whether each number is there, and is said of the same."""
    theirs: defaultdict[str, list[Token]] = defaultdict(list)
    for token in source.tokens:
        if token.kind == "number":
            theirs[token.key].append(token)
    tells_of_several = not theirs.keys() <= said
    numbers = [token for token in words.tokens if token.kind == "number"]
    return all(
        any(
            _is_same_number(token, other, source, said)
            and (not tells_of_several or _comes_after(token, other, words, source))
            for other in theirs[token.key]
        )
        for token in numbers
    )


def _is_same_number(token: Token, other: Token, source: Words, said: set[str]) -> bool:
    if token.unit and token.unit != other.unit:
        return False
    if token.bound and token.bound != other.bound:
        return False
    if token.rate and token.rate != other.rate:
        return False
    behind = source.tokens[other.place + 1 : other.place + 1 + NEAR]
    if token.counts and all(token.counts != one.key for one in behind):
        return False
    numbers = [one for one in source.tokens if one.kind == "number" and not one.is_day]
    if all(one.key in said for one in numbers):
        return True
    # It tells of several: what stands around the one that is said must be said too.
    others = {one.segment for one in numbers if one.key not in said}
    is_parallel = any(
        one.kind == "name" and one.segment in others - {other.segment} for one in source.content
    )
    around = [one for one in source.content if one.segment == other.segment]
    before = max((one.place for one in numbers if one.place < other.place), default=-1)
    after = min((one.place for one in numbers if one.place > other.place), default=1 << 30)
    return not any(
        _is_of_another(one, other, source, said, is_parallel=is_parallel)
        for one in around
        if before < one.place < after and one.key not in said and one.text not in MONTHS
    )


def _comes_after(token: Token, other: Token, words: Words, source: Words) -> bool:
    """Whether the word before the number is not one that there comes only in a later part."""
    before = [one for one in words.content if one.place < token.place]
    if not before or before[-1].segment != token.segment:
        return True
    there = [one for one in source.content if one.key == before[-1].key]
    return not there or any(
        one.segment == other.segment or one.place < other.place for one in there
    )


def _is_of_another(
    word: Token, number: Token, source: Words, said: set[str], *, is_parallel: bool
) -> bool:
    """Whether a word beside a number, which is not said, tells of what another one is said."""
    is_left = word.place < number.place
    if word.kind == "name" and (is_left or is_parallel):
        return not _is_part_of_said(word, source, said)
    return word.kind == "word" and is_left


def _is_part_of_said(name: Token, source: Words, said: set[str]) -> bool:
    """Whether it is a part of a name of which another part is said."""
    around = source.tokens[max(0, name.place - 1) : name.place + 2]
    return any(one.kind == "name" and one.key in said for one in around)


def has_same_names(source: Words, words: Words, said: set[str]) -> bool:
    """Whether names play the same parts, as in who manages whom."""
    ours, theirs = _names_of(words), _names_of(source)
    return not _is_turned_round(ours, theirs, words, source) and _stand_alike(
        source, ours, theirs, said
    )


def _names_of(words: Words) -> list[Token]:
    return [token for token in words.tokens if token.kind == "name" and token.text not in ORDINALS]


def _is_turned_round(
    ours: Sequence[Token], theirs: Sequence[Token], words: Words, source: Words
) -> bool:
    here = {token.key: token.place for token in ours}
    there = {token.key: token.place for token in theirs}
    both = [key for key in here if key in there]
    doer, their_doer = _doer(words), _doer(source)
    if doer is None and their_doer is None:
        if len({token.segment for token in theirs if token.key in here}) > 1:
            return False
        return [*sorted(both, key=here.__getitem__)] != [*sorted(both, key=there.__getitem__)]
    if doer is not None and their_doer is not None:
        return False
    told, by, other = (here, doer, there) if doer is not None else (there, their_doer, here)
    assert by is not None
    if by.key not in both:
        return False
    # Whoever does it comes last where it is said with `by`, and first where not.
    return any(
        told[key] < told[by.key] and other[key] < other[by.key] for key in both if key != by.key
    )


def _doer(words: Words) -> Token | None:
    """The name behind `by`."""
    for token in words.tokens:
        if token.text == "by":
            near = words.tokens[token.place + 1 : token.place + NEAR]
            return next((one for one in near if one.kind == "name"), None)
    return None


def _stand_alike(
    source: Words, ours: Sequence[Token], theirs: Sequence[Token], said: set[str]
) -> bool:
    """Whether no part is taken for another's, where the source tells of several names in parts."""
    keys = {token.key for token in ours}
    homes = {token.segment for token in theirs if token.key in keys}
    foreign = {token.segment for token in theirs if token.key not in keys} - homes
    if not homes or not foreign:
        return True
    # What comes before the first of them is said of all.
    first = min(token.place for token in source.content if token.kind in ("name", "number"))
    apart = {
        one.key
        for one in source.content
        if one.kind == "word" and one.place > first and one.segment in foreign
    }
    elsewhere = {one.key for one in source.content if one.segment not in foreign}
    return not (apart - elsewhere) & said


def has_other_names(source: Words, said: set[str]) -> bool:
    return any(token.kind == "name" and token.key not in said for token in source.tokens)
