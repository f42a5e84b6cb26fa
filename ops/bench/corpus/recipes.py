"""Recipes: dishes that share ingredients, steps and half of their names."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from corpus.written import Document, Fact, write

MAINS = ("Lentil", "Pumpkin", "Mushroom", "Salmon", "Chicken", "Beetroot", "Chickpea", "Leek",
         "Tomato", "Rhubarb", "Plum", "Walnut")  # fmt: skip
DISHES = ("Soup", "Pie", "Curry", "Salad", "Dumplings")
STYLES = ("Grandmother's", "Quick", "Festive", "Spicy")

BETWEEN = (
    "Season to taste.",
    "Fresh bread goes well with it.",
    "Children like to help with this.",
    "A sharp knife makes it easier.",
    "Stir from time to time.",
    "Serve on warm plates.",
    "Use what the season offers.",
)

PARTS: dict[str, tuple[Fact, ...]] = {
    "Ingredients": (
        Fact(
            ("You need {grams} grams of {main} and {spoons} spoons of {fat} for {persons} people.",
             "For {persons} servings: {grams} g {main}, {spoons} tablespoons {fat}."),
            ("How much {main} goes into the {dish}?",
             "Shopping list for the {dish}: what quantity of {main}?"),
        ),
        Fact(
            ("The aroma comes from {spice} and {herb}.", "Add {spice} and some {herb}."),
            ("What seasoning is used in the {dish}?",),
        ),
    ),
    "Preparation": (
        Fact(
            ("Cook it for {minutes} minutes over low heat.",
             "Let everything simmer for {minutes} minutes."),
            ("How long does the {dish} have to be on the stove?",
             "Cooking time of the {dish}?"),
        ),
        Fact(
            ("Beforehand, soak the {main} in {liquid} for {hours} hours.",
             "The {main} must lie in {liquid} for {hours} hours first."),
            ("In what do I steep the {main} for the {dish}?",),
        ),
    ),
    "Baking and finishing": (
        Fact(
            ("The oven is set to {degrees} degrees.", "Bake it at {degrees} °C."),
            ("At what temperature is the {dish} baked?", "How hot must the oven be for the {dish}?"),
        ),
        Fact(
            ("Sprinkle {topping} over it at the end.", "It is finished with {topping}."),
            ("What garnish completes the {dish}?",),
        ),
    ),
    "Keeping": (
        Fact(
            ("It keeps in the refrigerator for {days} days.",
             "Chilled, it can be eaten within {days} days."),
            ("How long do leftovers of the {dish} stay good?",),
        ),
        Fact(
            ("People who do not tolerate {allergen} replace it with {instead}.",
             "Instead of {allergen}, {instead} can be taken."),
            ("What is a substitute in the {dish} for somebody with an allergy to {allergen}?",),
        ),
    ),
}  # fmt: skip

FATS = ("butter", "olive oil", "sesame oil", "lard", "coconut oil", "cream")
SPICES = ("cumin", "saffron", "paprika", "cinnamon", "ginger", "juniper", "nutmeg", "cardamom")
HERBS = ("dill", "thyme", "coriander", "sage", "mint", "tarragon", "parsley", "rosemary")
LIQUIDS = ("buttermilk", "red wine", "salted water", "cider", "lemon juice", "green tea", "brine")
TOPPINGS = ("toasted almonds", "grated cheese", "fried onions", "pomegranate seeds", "chives",
            "breadcrumbs", "candied peel", "crushed pepper")  # fmt: skip
ALLERGENS = (("milk", "oat drink"), ("wheat flour", "rice flour"), ("eggs", "ground flax"),
             ("nuts", "sunflower seeds"), ("celery", "parsnip"), ("soy sauce", "salt"))  # fmt: skip


def documents(chance: Random) -> Iterator[Document]:
    """Some of all combinations, so that many share two of three words of their names."""
    dishes = [(s, m, d) for s in STYLES for m in MAINS for d in DISHES]
    for style, main, dish in chance.sample(dishes, 48):
        name = f"{style} {main} {dish}"
        chunks = [
            write(
                chance,
                facts,
                _details(chance) | {"dish": name, "main": main.lower(), "part": part},
                head=chance.choice(("{dish}\n{part}", "{part} of the {dish}")),
                between=BETWEEN,
            )
            for part, facts in PARTS.items()
        ]
        yield Document(name, chunks)


def _details(chance: Random) -> dict[str, object]:
    allergen, instead = chance.choice(ALLERGENS)
    return {
        "grams": chance.randint(3, 30) * 25,
        "spoons": chance.randint(2, 6),
        "persons": chance.randint(2, 8),
        "fat": chance.choice(FATS),
        "spice": chance.choice(SPICES),
        "herb": chance.choice(HERBS),
        "minutes": chance.randint(2, 18) * 5,
        "liquid": chance.choice(LIQUIDS),
        "hours": chance.randint(1, 12),
        "degrees": chance.randint(15, 24) * 10,
        "topping": chance.choice(TOPPINGS),
        "days": chance.randint(1, 6),
        "allergen": allergen,
        "instead": instead,
    }
