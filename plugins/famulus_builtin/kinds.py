"""What kind of thing a property asks for, told from its name, format and description."""

from __future__ import annotations

from enum import Enum, auto

from famulus_builtin.refs import Schema
from famulus_builtin.words import stem, words


class Kind(Enum):
    """What a text property holds."""

    EMAIL = auto()
    URL = auto()
    MOMENT = auto()
    DATE = auto()
    TIME = auto()
    PATH = auto()
    CODE = auto()
    SUM = auto()
    ORIGIN = auto()
    DESTINATION = auto()
    PLACE = auto()
    LANGUAGE = auto()
    PERSON = auto()
    ID = auto()
    TITLE = auto()
    TEXT = auto()
    QUERY = auto()
    OTHER = auto()


_FORMATS = {
    "email": Kind.EMAIL,
    "uri": Kind.URL,
    "url": Kind.URL,
    "date-time": Kind.MOMENT,
    "date": Kind.DATE,
    "time": Kind.TIME,
}

# The first row that shares a word with the property's name says what it is; so the order counts.
_ROWS: tuple[tuple[Kind, frozenset[str]], ...] = tuple(
    (kind, frozenset(stem(word) for word in row.split()))
    for kind, row in (
        (Kind.EMAIL, "email mail"),
        (Kind.URL, "url uri link website webpage"),
        (Kind.MOMENT, "datetime timestamp"),
        (Kind.TIME, "time hour clock"),
        (Kind.DATE, "date day when deadline due birthday"),
        (Kind.PATH, "file filename path directory folder"),
        (Kind.SUM, "expression formula equation calculation"),
        (Kind.CODE, "code script sql program snippet"),
        (Kind.LANGUAGE, "language lang"),
        (Kind.ID, "id identifier number code reference sku key ticket order account"),
        (Kind.ORIGIN, "origin from departure source"),
        (Kind.DESTINATION, "destination arrival"),
        (Kind.PLACE, "city location place town country state region where address area venue"),
        (Kind.PLACE, "airport station capital destination site room"),
        (Kind.TITLE, "title subject heading summary task topic label event headline"),
        (Kind.PERSON, "name person user customer recipient author contact attendee owner"),
        (Kind.PERSON, "assignee patient guest employee artist sender to who firstname lastname"),
        (Kind.QUERY, "query question search keyword keywords term prompt q input"),
        (Kind.TEXT, "message body text content note comment reason description feedback sentence"),
    )
)

_QUANTITIES: tuple[frozenset[str], ...] = tuple(
    frozenset(stem(word) for word in row.split())
    for row in (
        "money price amount cost budget dollar dollars euro euros usd eur pound pounds total",
        "people person guests adults party travellers travelers passengers attendees seats",
        "limit top first max maximum count results result number k n size",
        "degree degrees temperature celsius fahrenheit",
        "age old years",
        "quantity qty items units copies pieces",
    )
)


def is_quantity(name: str) -> bool:
    """Whether a property of this name holds a number."""
    said = {stem(word) for word in words(name)}
    return any(row & said for row in _QUANTITIES)


def kind_of(name: str, schema: Schema) -> Kind:
    """The kind that format or name tell; else the description's."""
    if schema.get("format") in _FORMATS:
        return _FORMATS[str(schema["format"])]
    for text in (name, str(schema.get("description", ""))):
        said = {stem(word) for word in words(text)}
        for kind, row in _ROWS:
            if row.intersection(said):
                return kind
    return Kind.OTHER


def quantity_words(name: str, description: str) -> tuple[frozenset[str], frozenset[str]]:
    """Stems beside which a number is meant for this property: surely, and probably."""
    close = {stem(word) for word in words(name)} - {"in", "of", "num", "the"}
    for row in _QUANTITIES:
        if row & close:
            close |= row
    far = {stem(word) for word in words(description) if len(word) > 2}
    return frozenset(close), frozenset(far - close - {"the", "number"})
