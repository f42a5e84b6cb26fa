"""Handbooks of companies, each in two editions that differ in a number here and there."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from corpus.written import Document, Fact, write

COMPANIES = (
    "Norvik Shipping",
    "Tallow & Reed",
    "Quantiva Labs",
    "Brightwater Dairy",
    "Ostrava Tools",
)
EDITIONS = (2023, 2024)

BETWEEN = (
    "Questions are answered by the People team on the second floor.",
    "Managers make sure that everybody in their group has read this section.",
    "Exceptions need a written decision of the head of department.",
    "This section replaces all earlier versions of it.",
    "Where local law gives more, the law applies.",
    "Forms are found on the intranet under Documents.",
    "Works council and management have agreed on these rules.",
)

TOPICS: dict[str, tuple[Fact, ...]] = {
    "Annual leave": (
        Fact(
            (
                "Full-time employees are entitled to {a} working days of annual leave.",
                "Every full-time member of staff has a yearly allowance of {a} days of paid leave.",
            ),
            (
                "How many vacation days does {company} give in {year}?",
                "What is the number of holidays per year at {company} as of {year}?",
            ),
        ),
        Fact(
            (
                "Unused days may be carried over until the end of {month}.",
                "What is left at the end of the year lapses after {month} of the next one.",
            ),
            (
                "Until when can I use last year's remaining time off at {company}, {year} rules?",
                "{company} {year}: when do leftover vacation days expire?",
            ),
        ),
    ),
    "Illness": (
        Fact(
            (
                "A doctor's certificate is needed from day {b} of an absence.",
                "Whoever is ill for {b} days or more hands in a medical certificate.",
            ),
            (
                "When do I have to bring a sick note at {company} ({year})?",
                "After how many sick days does {company} want a note from the physician, {year}?",
            ),
        ),
        Fact(
            (
                "Report your absence to your supervisor before {hour} o'clock.",
                "Supervisors must be told by {hour} in the morning.",
            ),
            ("By what time should I call in sick at {company} according to the {year} handbook?",),
        ),
    ),
    "Working from home": (
        Fact(
            (
                "Up to {b} days a week may be worked remotely.",
                "Employees can do their work outside the office on {b} days of each week.",
            ),
            (
                "How often can people at {company} telecommute, {year}?",
                "Home office days per week, {company} {year}?",
            ),
        ),
        Fact(
            (
                "A one-off contribution of {money} euros is paid for a desk and a chair.",
                "The company adds {money} euros once for furniture at home.",
            ),
            ("What subsidy does {company} pay for equipping a home office in {year}?",),
        ),
    ),
    "Travel": (
        Fact(
            (
                "The daily allowance for meals on business trips is {a} euros.",
                "On business trips, {a} euros a day are granted for food.",
            ),
            (
                "What is the per diem at {company} in {year}?",
                "How much can I spend on eating while travelling for {company} ({year})?",
            ),
        ),
        Fact(
            (
                "Trains are booked in second class unless the journey exceeds {hour} hours.",
                "First class is allowed on train journeys longer than {hour} hours.",
            ),
            ("From what length of ride may I sit in first class at {company}, {year} edition?",),
        ),
    ),
    "Expenses": (
        Fact(
            (
                "Receipts have to be submitted within {a} days.",
                "Claims that come later than {a} days after the purchase are not reimbursed.",
            ),
            (
                "What's the deadline for handing in bills to get the money back at {company} in {year}?",
                "{company} {year}: how long do I have to file an expense report?",
            ),
        ),
        Fact(
            (
                "Purchases above {money} euros need approval beforehand.",
                "Ask before you spend more than {money} euros.",
            ),
            (
                "Above which amount is prior permission required for buying something, {company} {year}?",
            ),
        ),
    ),
    "Parental leave": (
        Fact(
            (
                "The second parent is granted {b} weeks at full pay.",
                "Partners of a mother get {b} weeks off with full salary.",
            ),
            (
                "How long is paternity time at {company}, {year}?",
                "What do fathers get after a birth according to {company}'s {year} handbook?",
            ),
        ),
        Fact(
            (
                "Requests are made at least {a} days before the expected birth.",
                "Tell us no later than {a} days before the child is due.",
            ),
            ("How early must one announce to {company} that a baby is coming ({year})?",),
        ),
    ),
    "Training": (
        Fact(
            (
                "Each employee has a yearly education budget of {money} euros.",
                "Courses and conferences are paid for up to {money} euros per person and year.",
            ),
            ("How much money for professional development is there at {company} in {year}?",),
        ),
        Fact(
            (
                "Who leaves within {b} years pays back a part of the fees.",
                "Fees are returned in part by those who resign in less than {b} years.",
            ),
            ("For how long am I bound after a course that {company} sponsored, {year}?",),
        ),
    ),
    "Working hours": (
        Fact(
            (
                "The core time is from {hour} to 15 o'clock.",
                "Everybody is present between {hour} and 15 o'clock.",
            ),
            ("When does the period begin in which all must be at work, {company} {year}?",),
        ),
        Fact(
            (
                "Overtime is compensated with a supplement of {a} percent.",
                "For each extra hour, {a} percent are added to the wage.",
            ),
            ("What bonus is paid for working longer than agreed at {company} ({year})?",),
        ),
    ),
    "Notice": (
        Fact(
            (
                "After the probation period the notice period is {b} months to the end of a quarter.",
                "Employment can be ended by either side with {b} months' notice.",
            ),
            (
                "How far ahead must I tell {company} that I quit, {year}?",
                "What's the resignation period at {company} in {year}?",
            ),
        ),
        Fact(
            (
                "The probation period lasts {hour} months.",
                "The first {hour} months are a trial time for both sides.",
            ),
            ("How long is a newcomer on probation at {company}, {year} rules?",),
        ),
    ),
    "Badges and keys": (
        Fact(
            (
                "A lost badge costs {a} euros to replace.",
                "For the replacement of a badge {a} euros are charged.",
            ),
            ("What do I owe {company} if my access card is gone ({year})?",),
        ),
        Fact(
            (
                "The building is locked at {evening} o'clock.",
                "Doors close automatically at {evening} o'clock in the evening.",
            ),
            ("Until what hour can staff get into the house at {company}, {year}?",),
        ),
    ),
    "Company cars": (
        Fact(
            (
                "Private use is charged with {a} cents a kilometre.",
                "For private kilometres, {a} cents each are deducted.",
            ),
            (
                "What is taken from my salary for leisure drives with the vehicle of {company}, {year}?",
            ),
        ),
        Fact(
            (
                "Accidents are reported to the fleet manager {person} at once.",
                "In case of a crash call {person}, who looks after the fleet.",
            ),
            ("Who has to hear about a collision with a car of {company} ({year})?",),
        ),
    ),
    "Whistleblowing": (
        Fact(
            (
                "Concerns about misconduct can be raised confidentially with {person}.",
                "{person} is the confidential contact for reports of wrongdoing.",
            ),
            (
                "To whom can I turn at {company} when I see something illegal, {year}?",
                "{company} {year}: name of the ombudsperson for compliance cases?",
            ),
        ),
        Fact(
            (
                "A first answer is given within {a} days.",
                "Who reports something hears back after {a} days at most.",
            ),
            (),
        ),
    ),
}

PEOPLE = (
    "Agneta Lund", "Rui Carvalho", "Mirela Popescu", "Declan Foley", "Sanne de Wit", "Tomasz Zielinski",
    "Yara Haddad", "Piet Claes", "Ines Moreau", "Karel Novotny", "Oona Virtanen", "Bashir Rahimi",
    "Greta Holm", "Lucia Ferri", "Hamish Kerr", "Noor van Dijk", "Emil Brandt", "Zofia Wrona",
    "Marta Iglesias", "Teodor Ilic", "Aoife Byrne", "Jannis Kokkinos", "Selin Aydin", "Ruben Costa",
)  # fmt: skip
MONTHS = ("January", "February", "March", "April", "May", "June")


def documents(chance: Random) -> Iterator[Document]:
    """Two editions a company; of each section, some numbers stay as they were."""
    for company in COMPANIES:
        before: dict[str, dict[str, object]] = {}
        for year in EDITIONS:
            chunks = []
            for topic, facts in TOPICS.items():
                names = _numbers(chance)
                if topic in before and chance.random() < 0.5:
                    names = before[topic] | {"a": names["a"]}
                before[topic] = names
                chunks.append(
                    write(
                        chance,
                        facts,
                        names | {"company": company, "year": year, "topic": topic},
                        head=chance.choice(
                            (
                                "{company}: Employee Handbook {year}. {topic}",
                                "{topic} ({company}, {year})",
                            )
                        ),
                        between=BETWEEN,
                    )
                )
            yield Document(f"{company} Employee Handbook {year}", chunks)


def _numbers(chance: Random) -> dict[str, object]:
    return {
        "a": chance.randint(20, 34),
        "b": chance.randint(2, 6),
        "hour": chance.randint(7, 10),
        "evening": chance.randint(18, 23),
        "money": chance.randint(3, 24) * 50,
        "month": chance.choice(MONTHS),
        "person": chance.choice(PEOPLE),
    }
