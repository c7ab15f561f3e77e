"""English forms: articles, past, third person, gerunds; regular by rule, irregular by table."""

from __future__ import annotations

PAST = {
    "go": "went", "buy": "bought", "see": "saw", "give": "gave", "lose": "lost", "find": "found", "eat": "ate",
    "drink": "drank", "meet": "met", "think": "thought", "write": "wrote", "take": "took", "run": "ran", "sing": "sang",
    "swim": "swam", "fly": "flew", "sit": "sat", "stand": "stood", "sleep": "slept", "tell": "told", "hide": "hid",
    "hold": "held", "draw": "drew", "read": "read", "leave": "left", "come": "came", "say": "said", "get": "got",
    "put": "put", "keep": "kept", "feel": "felt", "fall": "fell", "begin": "began", "spend": "spent", "ride": "rode",
    "teach": "taught", "catch": "caught", "make": "made", "hear": "heard", "grow": "grew", "bake": "baked",
    "wake": "woke", "shake": "shook", "be": "was", "have": "had", "blow": "blew", "set": "set", "shine": "shone",
    "bring": "brought", "lie": "lay", "weave": "wove", "sell": "sold", "speak": "spoke", "do": "did", "show": "showed",
    "throw": "threw", "forgive": "forgave", "choose": "chose", "sweep": "swept", "light": "lit", "know": "knew",
}  # fmt: skip
PARTICIPLES = {
    "go": "gone", "see": "seen", "give": "given", "eat": "eaten", "drink": "drunk", "write": "written", "get": "got",
    "take": "taken", "be": "been",
}  # fmt: skip
_VOWELS = "aeiou"
_DOUBLED = frozenset(
    [
        "stop",
        "hug",
        "wag",
        "nod",
        "chat",
        "knit",
        "hop",
        "clap",
        "jog",
        "nap",
        "pat",
        "drag",
        "rub",
        "hum",
        "wrap",
        "shrug",
        "tap",
    ]
)
_DOUBLED_ING = _DOUBLED | {"run", "swim", "sit", "get", "put", "begin", "set"}
# spelled with a vowel, spoken with a consonant, and the reverse
_CONSONANT_SOUND = ("uni", "use", "eu", "one")
_VOWEL_SOUND = ("hour", "honest")


def article(phrase: str) -> str:
    """`phrase` with "a" or "an" by its first sound."""
    word = phrase.lower()
    vowel = word.startswith(_VOWEL_SOUND) or (word[0] in _VOWELS and not word.startswith(_CONSONANT_SOUND))
    return f"{'an' if vowel else 'a'} {phrase}"


def _on_first(phrase: str, change) -> str:
    verb, space, rest = phrase.partition(" ")
    return change(verb) + space + rest


def _past(verb: str) -> str:
    if verb in PAST:
        return PAST[verb]
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in _VOWELS:
        return verb[:-1] + "ied"
    return verb + (verb[-1] if verb in _DOUBLED else "") + "ed"


def _third(verb: str) -> str:
    if verb in ("have", "be", "do", "go"):
        return {"have": "has", "be": "is", "do": "does", "go": "goes"}[verb]
    if verb.endswith("y") and verb[-2] not in _VOWELS:
        return verb[:-1] + "ies"
    return verb + ("es" if verb.endswith(("s", "sh", "ch", "x", "z")) else "s")


def _gerund(verb: str) -> str:
    if verb == "lie":
        return "lying"
    if verb.endswith("e") and not verb.endswith(("ee", "be")):
        return verb[:-1] + "ing"
    return verb + (verb[-1] if verb in _DOUBLED_ING else "") + "ing"


FORMS = {
    "past": lambda p: _on_first(p, _past),
    "third": lambda p: _on_first(p, _third),
    "gerund": lambda p: _on_first(p, _gerund),
    "participle": lambda p: _on_first(p, lambda v: PARTICIPLES.get(v, _past(v))),
    "base": lambda p: p,
}


def conjugate(phrase: str, form: str) -> str:
    """The first word of `phrase` in a form of `FORMS` ("look at", "past" -> "looked at")."""
    if form not in FORMS:
        raise ValueError(f"unknown English form {form!r}; known: {', '.join(FORMS)}")
    return FORMS[form](phrase)


def plural(noun: str) -> str:
    """The regular plural of a noun."""
    if noun == "deer":
        return noun
    if noun.endswith("y") and noun[-2] not in _VOWELS:
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "sh", "ch", "x", "z")) else "s")
