"""Manuals of appliances: sister models, whose manuals are alike but for a letter and some numbers."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from corpus.written import Document, Fact, write

APPLIANCES = (
    ("dishwasher", "Kestrel"), ("coffee machine", "Barista Uno"), ("heat pump", "Thermia"),
    ("lawn mower", "Graslund"), ("washing machine", "Lavanda"), ("air purifier", "Zephyr"),
    ("electric bicycle", "Velotta"), ("sewing machine", "Filomena"), ("projector", "Lumo"),
    ("water softener", "Calyx"), ("cordless drill", "Torq"), ("freezer", "Polaris"),
)  # fmt: skip

BETWEEN = (
    "Keep this manual for later.",
    "Read the safety notes on the first pages before you begin.",
    "Pictures may differ from your appliance.",
    "Only use spare parts that the maker offers.",
    "Children must not play with the appliance.",
    "Unplug it before any work on it.",
    "If in doubt, ask a specialist.",
    "Dispose of the packaging as your community asks you to.",
)

SECTIONS: dict[str, tuple[Fact, ...]] = {
    "Electrical connection": (
        Fact(
            ("It draws {watts} watts at full load.", "The rated power is {watts} W."),
            ("What is the energy consumption of the {name} when it works hardest?",
             "How much electricity does the {name} {kind} need at most?"),
        ),
        Fact(
            ("The circuit must be protected by a fuse of {amps} amperes.",
             "A {amps} A breaker is required."),
            ("Which fuse belongs in front of a {name}?",),
        ),
    ),
    "Size and weight": (
        Fact(
            ("It weighs {kilos} kilograms without accessories.", "Net weight: {kilos} kg."),
            ("How heavy is the {name}?", "What does the {kind} {name} weigh?"),
        ),
        Fact(
            ("Leave {gap} centimetres free behind it.", "The wall must be at least {gap} cm away."),
            ("What distance to the wall does the {name} want?",),
        ),
    ),
    "Cleaning and care": (
        Fact(
            ("Rinse the filter under running water every {weeks} weeks.",
             "The filter is to be washed once in {weeks} weeks."),
            ("How frequently must I clean the sieve of my {name}?",
             "Maintenance interval of the filter, {name}?"),
        ),
        Fact(
            ("Never use {agent}: it attacks the surface.", "{agent} damages the casing."),
            ("Which cleaner is bad for the housing of the {name}?",),
        ),
    ),
    "Fault codes": (
        Fact(
            ("Code {code} means that {trouble}.", "When the display shows {code}, {trouble}."),
            ("My {name} blinks {code}, what is wrong?", "Meaning of {code} on a {name} {kind}?"),
        ),
        Fact(
            ("Code {code2} means that the door or cover is not shut.",
             "The display shows {code2} while the cover is open."),
            ("What does the {name} want to say with {code2}?",),
        ),
    ),
    "Resetting": (
        Fact(
            ("Hold the {button} button for {seconds} seconds to go back to the factory settings.",
             "The original settings are restored by pressing {button} for {seconds} seconds."),
            ("How do I reset the {name} completely?",
             "How can I wipe all my preferences on the {kind} {name}?"),
        ),
    ),
    "Noise": (
        Fact(
            ("In normal use it reaches {decibels} decibels.",
             "The sound level is {decibels} dB(A) at one metre."),
            ("How loud is the {name}?", "Is the {name} {kind} quiet enough for a bedroom?"),
        ),
        Fact(
            ("Night mode is switched on with the {button} button.",
             "Press {button} for quiet operation at night."),
            (),
        ),
    ),
    "Guarantee": (
        Fact(
            ("The maker guarantees it for {years} years from the day of purchase.",
             "Defects are repaired free of charge for {years} years."),
            ("How long is the warranty on the {name}?",
             "For what period do I get free repairs of my {name} {kind}?"),
        ),
        Fact(
            ("Spare parts are kept for {kept} years after production has ended.",
             "Parts stay available {kept} years beyond the last delivery."),
            ("How long will components for the {name} be sold?",),
        ),
    ),
    "First use": (
        Fact(
            ("Let it stand upright for {hours} hours before you switch it on.",
             "After transport, wait {hours} hours before the first start."),
            ("How long should a new {name} rest before I turn it on?",),
        ),
        Fact(
            ("Remove the {colour} transport lock on the rear.",
             "Take off the {colour} bolts that hold it during transport."),
            ("What has to be taken away from the back of the {name} after delivery?",),
        ),
    ),
    "Connecting to a network": (
        Fact(
            ("The appliance joins networks of {band} GHz only.", "Only {band} GHz Wi-Fi is supported."),
            ("Which wireless frequency can the {name} use?",
             "Why does the {kind} {name} not find my WLAN?"),
        ),
        Fact(
            ("The pairing code is printed beneath the {place}.",
             "You find the code for pairing under the {place}."),
            ("Where on the {name} is the number for coupling it with the app?",),
        ),
    ),
}  # fmt: skip

TROUBLES = (
    "no water comes in", "the pump is blocked", "the motor is too hot", "a sensor is broken",
    "the battery is too weak", "there is too much foam", "the fan stands still", "oil is missing",
    "the temperature cannot be held", "the belt slips",
)  # fmt: skip
AGENTS = ("Vinegar", "Alcohol", "Acetone", "Bleach", "Scouring powder", "Steel wool", "Ammonia")
BUTTONS = ("Start", "Menu", "Eco", "Plus", "Mode", "Timer", "Lock", "Set")
COLOURS = ("red", "yellow", "blue", "orange", "green", "white")
PLACES = ("lid", "handle", "tank", "left side panel", "battery", "control panel", "drawer")


def documents(chance: Random) -> Iterator[Document]:
    """Three models an appliance, such as 210, 210S and 240."""
    for kind, family in APPLIANCES:
        number = chance.randint(2, 9) * 100 + chance.randint(1, 5) * 10
        for model in (f"{number}", f"{number}S", f"{number + 30}"):
            name = f"{family} {model}"
            chunks = [
                write(
                    chance,
                    facts,
                    _details(chance) | {"name": name, "kind": kind, "section": section},
                    head=chance.choice(
                        ("{name} {kind}. {section}", "{section}\nManual of the {kind} {name}")
                    ),
                    between=BETWEEN,
                )
                for section, facts in SECTIONS.items()
            ]
            yield Document(f"{name} {kind} manual", chunks)


def _details(chance: Random) -> dict[str, object]:
    letter = chance.choice("EFH")
    return {
        "watts": chance.randint(4, 48) * 50,
        "amps": chance.choice((6, 10, 13, 16, 20)),
        "kilos": chance.randint(3, 80),
        "gap": chance.randint(3, 30),
        "weeks": chance.randint(2, 12),
        "agent": chance.choice(AGENTS),
        "code": f"{letter}{chance.randint(10, 49)}",
        "code2": f"{letter}{chance.randint(50, 99)}",
        "trouble": chance.choice(TROUBLES),
        "button": chance.choice(BUTTONS),
        "seconds": chance.randint(3, 15),
        "decibels": chance.randint(28, 84),
        "years": chance.randint(2, 10),
        "kept": chance.randint(7, 15),
        "hours": chance.randint(2, 24),
        "colour": chance.choice(COLOURS),
        "band": chance.choice(("2.4", "5", "6")),
        "place": chance.choice(PLACES),
    }
