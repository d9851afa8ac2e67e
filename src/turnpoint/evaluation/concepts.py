"""What a parameter is about, and whether a user seems to have said a value of it."""

from turnpoint.evaluation import lexicon


def concepts(text: str) -> set[str]:
    """What a text is about: the name or description of a parameter, or a question."""
    return {name for name, concept in lexicon.concepts().items() if concept.named.search(text)}


def likely_said(about: set[str], text: str) -> bool:
    """Whether a text seems to say a value of what a parameter is about, by its look or since it names it: "날짜는"."""
    looks = about - {"place"} if about & {"origin", "destination"} else about
    looks = {"currency"} if "currency" in about else looks
    found = [lexicon.concepts()[name] for name in looks]
    return any((each.looks is not None and each.looks.search(text)) or each.stated.search(text) for each in found)
