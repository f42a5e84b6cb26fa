"""Lists of words by which sentences are compared."""

from __future__ import annotations


def row(text: str) -> frozenset[str]:
    """The words of a list that is written as a text."""
    return frozenset(text.split())


EMPTY = row(
    """
    a about after again all also although am an and any anybody anyone are as at be because been
    before being everybody everyone nowadays somebody someone today
    between both but by can could did do does doing during each either every few for from further
    had has have having he her here hers him his how i if in into is it its itself just like may me
    might more most much must my no nor not now of off on once one only or other our out over own
    per same shall she should since so some such than that the their theirs them then there these
    they this those though through thus to too under until up upon us very via was we were what when
    where whereas whether which while who whom whose why will with within would yes yet you your
    der die das den dem des ein eine einer einem einen eines und oder aber ist sind war waren wird
    werden hat haben mit von vom zu zum zur im am auf aus bei nach seit für als auch es er sie wir
    ihr ich man sich dass wie nur noch
    le la les un une des du de et ou est sont dans sur pour par avec que qui au aux ce cette
    el los las una unos y o es son en del con por para que se su al
    """
)
"""Words that carry no meaning of their own."""

GENERIC = row(
    """
    accord additionally allow amount apply approximately available base be become bring call
    certain come consist contain cost currently describe detail document ensure example exactly
    explain file find follow furthermore generally get give go handbook help however include
    indicate information involve keep know last let listed make mean mention moreover need note
    offer overall passage please possible provide receive refer regard require respectively roughly
    say section see show simply source specifically specify state summary take tell text therefore
    total typically use usually work write yield
    """
)
"""Stems of words with which the same can be said in other words."""

NEGATIONS = row(
    """
    except excluding unless besides
    not no never without cannot none nobody nothing neither nor hardly nicht kein keine keinen
    keinem keiner nie niemals ohne pas jamais sans aucun aucune nunca sin ningún ninguna jamás
    """
)

EXCEPTIONS = {"other": "than", "rather": "than", "instead": "of", "apart": "from"}
"""Words that negate with the one behind them."""

BOUNDS = {
    "least": "min",
    "minimum": "min",
    "over": "min",
    "exceed": "min",
    "above": "min",
    "more": "min",
    "less": "max",
    "fewer": "max",
    "most": "max",
    "maximum": "max",
    "under": "max",
    "below": "max",
    "up": "max",
}
"""Words before a number that make a bound of it."""

OPPOSITES = tuple(
    (row(one), row(other))
    for one, other in (
        ("all every always each", "some sometimes few rarely"),
        ("before prior", "after"),
        ("increase rise grow raise", "decrease fall drop decline reduce lower"),
        ("more higher longer larger bigger", "less lower shorter smaller fewer"),
        ("first earliest", "last latest"),
        ("open opens opened", "close closes closed"),
        ("allow allowed permitted", "forbidden prohibited banned"),
        ("include included includes", "exclude excluded excludes"),
        ("begin begins start starts started", "end ends ended finish stop stops"),
        ("minimum", "maximum"),
        ("free", "paid"),
        ("internal", "external"),
        ("hot warm", "cold"),
        ("left", "right"),
        ("north", "south"),
        ("east", "west"),
        ("buy bought", "sell sold"),
        ("enable enabled", "disable disabled"),
        ("optional", "mandatory required obligatory compulsory"),
        ("must", "may can"),
        ("inside", "outside"),
        ("day", "night"),
        ("win won", "lost lose"),
        ("accept accepted", "reject rejected refused"),
        ("employer employers", "employee employees"),
        ("only", "also"),
    )
)
"""Where one sentence has a word of the one kind and the other of the other, they differ."""

ALIKE = tuple(
    row(group)
    for group in (
        "employee staff worker personnel",
        "holiday vacation leave",
        "buy purchase acquire",
        "price fee charge",
        "begin start commence",
        "end finish conclude",
        "large big",
        "car vehicle automobile",
        "company firm business",
        "found establish",
        "headquarter headquarters seat",
        "people person",
        "guarantee warranty",
        "return refund",
        "annual annually year yearly",
        "month monthly",
        "week weekly",
        "day daily",
        "fix repair",
        "send ship dispatch",
        "employ hire",
        "build construct erect",
        "locate situate",
        "damage harm",
        "change modify alter",
        "delete remove erase",
        "permit allow",
        "entitle eligible",
        "notice notification",
        "phone telephone",
        "manual guide",
        "child kid",
        "doctor physician",
        "salary wage pay",
        "meeting appointment",
        "city town",
        "customer client buyer",
        "error fault failure",
        "fast quick rapid",
        "weigh weight",
        "length long",
        "height high tall",
        "width wide",
        "depth deep",
    )
)
"""Stems that stand for each other."""

_FORMS = """
    become became, begin began begun, break broke broken, build built, buy bought, child children,
    choose chose chosen, come came, draw drew drawn, drive drove driven, fall fell fallen,
    fly flew flown, get got gotten, give gave given, go went gone, grow grew grown, hold held,
    keep kept, know knew known, lead led, lose lost, make made, man men, mean meant, meet met,
    pay paid, rise rose risen, run ran, say said, see saw seen, sell sold, send sent, show shown,
    speak spoke spoken, spend spent, stand stood, take took taken, teach taught, tell told,
    think thought, wear wore worn, win won, woman women, write wrote written
"""
IRREGULAR = {form: line.split()[0] for line in _FORMS.split(",") for form in line.split()[1:]}
"""Forms that do not end as others do, and their words."""

UNITS = {
    "%": "percent",
    "€": "euro",
    "$": "dollar",
    "£": "pound",
    "eur": "euro",
    "usd": "dollar",
    "gbp": "pound",
    "kg": "kilogram",
    "kilo": "kilogram",
    "g": "gram",
    "mg": "milligram",
    "t": "tonne",
    "km": "kilometer",
    "kilometre": "kilometer",
    "m": "meter",
    "metre": "meter",
    "cm": "centimeter",
    "centimetre": "centimeter",
    "mm": "millimeter",
    "millimetre": "millimeter",
    "l": "liter",
    "litre": "liter",
    "ml": "milliliter",
    "h": "hour",
    "hr": "hour",
    "min": "minute",
    "sec": "second",
    "s": "second",
    "ms": "millisecond",
    "w": "watt",
    "kw": "kilowatt",
    "v": "volt",
    "kb": "kilobyte",
    "mb": "megabyte",
    "gb": "gigabyte",
    "tb": "terabyte",
}
"""How units are written short, and their names."""

UNIT_NAMES = frozenset(UNITS.values()) | row(
    """
    day week month year decade century time degree mile inch foot feet yard page item piece person
    people employee user seat room floor bit byte million billion thousand hectare acre knot
    """
)

_TO_NINETEEN = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen
"""
NUMBERS = {word: at for at, word in enumerate(_TO_NINETEEN.split()) if word != "one"}
"""Without `one`, which seldom counts."""

_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
TENS = {word: 10 * at for at, word in enumerate(_TENS.split(), start=2)}
ORDINALS = row("first second third fourth fifth sixth seventh eighth ninth tenth")
"""Words that tell things apart as numbers do."""

JOINTS = row("and or but while whereas und oder aber et ou mais y o pero")
"""Words at which a sentence begins to say something else."""

SUBJECTS = row(
    "the a an its their his her our your this that these those each every another i you he she it "
    "we they der die das ein eine"
)
"""With these what follows has a subject of its own."""

MONTHS = row(
    """
    january february march april may june july august september october november december januar
    februar märz mai juni juli oktober dezember
    """
)
