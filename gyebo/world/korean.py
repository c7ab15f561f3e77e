"""Korean particles and endings, from the Unicode decomposition of syllables and a table of irregular stems.

Rules follow 한글 맞춤법 (National Institute of Korean Language), chapters 4.3-4.5. Words are given in dictionary form
("돕다"); which of them are irregular is data (`lexicon.IRREGULAR`), since it can't be seen from the spelling: 걷다 "walk"
is irregular, 걷다 "gather" is not.
"""

from __future__ import annotations

VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
FINALS = ("", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")

# particle -> (after a consonant, after a vowel). The key is the form after a consonant, as dictionaries list it.
PARTICLES = {
    "은": ("은", "는"), "이": ("이", "가"), "을": ("을", "를"), "과": ("과", "와"), "으로": ("으로", "로"),
    "아": ("아", "야"), "이나": ("이나", "나"), "이랑": ("이랑", "랑"),
    "이다": ("이다", "다"), "이었다": ("이었다", "였다"), "이야": ("이야", "야"), "이라는": ("이라는", "라는"),
    "이라고": ("이라고", "라고"), "이고": ("이고", "고"), "이지": ("이지", "지"),
    "이네": ("이네", "네"), "이구나": ("이구나", "구나"),
}  # fmt: skip
# particles with one form
INVARIANT = frozenset(
    ["에", "에서", "에게", "에게서", "의", "도", "만", "부터", "까지", "보다", "처럼", "에는", "에서는", "에도"]
)
# stems whose 아/어 form is written in full in stories: 보았다, 주었다
_WRITTEN_IN_FULL = frozenset("보주두추꾸쏘누")


def split(syllable: str) -> tuple[int, int, int]:
    """Indices (initial, vowel, final) of one Hangul syllable; `ValueError` for anything else."""
    offset = ord(syllable) - 0xAC00
    if not 0 <= offset < 11172:
        raise ValueError(f"{syllable!r} is not a Hangul syllable")
    return offset // 588, offset % 588 // 28, offset % 28


def build(initial: int, vowel: int, final: int = 0) -> str:
    """The syllable of three indices (the inverse of `split`)."""
    return chr(0xAC00 + initial * 588 + vowel * 28 + final)


def particle(word: str, name: str) -> str:
    """`word` with the particle `name` ("은" gives 은 or 는; ㄹ takes 로, not 으로).

    Raises `ValueError` for an unknown particle or a word that does not end in Hangul.
    """
    if name in INVARIANT:
        return word + name
    if name not in PARTICLES:
        raise ValueError(f"unknown particle {name!r}; known: {', '.join([*PARTICLES, *sorted(INVARIANT)])}")
    final = split(word[-1])[2]
    if name == "으로" and FINALS[final] == "ㄹ":
        final = 0
    return word + PARTICLES[name][0 if final else 1]


def _last(stem: str) -> tuple[str, int, int, int]:
    return stem[:-1], *split(stem[-1])


def _bright(stem: str) -> bool:
    """Whether 아 (not 어) follows: the last vowel is ㅏ, ㅑ or ㅗ."""
    return VOWELS[split(stem[-1])[1]] in "ㅏㅑㅗ"


def _without_final(stem: str) -> str:
    head, initial, vowel, _ = _last(stem)
    return head + build(initial, vowel)


def infinitive(stem: str, irregular: str = "") -> str:
    """The 아/어 form of a stem ("가" -> "가", "돕" + "ㅂ" -> "도와"); `irregular` is the class ("ㅂ", "ㄷ", "르", ...)."""
    head, initial, vowel, final = _last(stem)
    v = VOWELS[vowel]
    if stem.endswith("하"):
        return head + "해"
    if irregular == "ㅂ":  # only 돕다 and 곱다 keep the bright vowel
        return _without_final(stem) + ("와" if stem in ("돕", "곱") else "워")
    if irregular == "ㄷ":
        return head + build(initial, vowel, FINALS.index("ㄹ")) + ("아" if _bright(stem) else "어")
    if irregular == "ㅅ":
        return _without_final(stem) + ("아" if _bright(stem) else "어")
    if irregular == "ㅎ":
        return head + build(initial, VOWELS.index("ㅒ" if v == "ㅑ" else "ㅐ"))
    if irregular == "러":
        return stem + "러"
    if irregular == "르":
        before, i, w, _ = _last(head)
        return before + build(i, w, FINALS.index("ㄹ")) + ("라" if _bright(head) else "러")
    if final:
        return stem + ("아" if _bright(stem) else "어")
    if v == "ㅡ":
        return head + build(initial, VOWELS.index("ㅏ" if head and _bright(head) else "ㅓ"))
    if v in "ㅏㅓㅐㅔㅕ":
        return stem
    if v in "ㅗㅜ" and stem[-1] in _WRITTEN_IN_FULL:
        return stem + ("아" if v == "ㅗ" else "어")
    merged = {"ㅗ": "ㅘ", "ㅜ": "ㅝ", "ㅣ": "ㅕ", "ㅚ": "ㅙ"}.get(v)
    return head + build(initial, VOWELS.index(merged)) if merged else stem + "어"


def _with_eu(stem: str, irregular: str, after_vowel: str, after_consonant: str, keep_l: bool) -> str:
    """Endings that insert 으 after a consonant: -(으)ㄴ, -(으)ㄹ, -(으)러, -(으)면서.

    `after_vowel` may begin with a bare final consonant (ㄴ, ㄹ), which joins the last syllable.
    """
    head, initial, vowel, final = _last(stem)
    if irregular == "ㅂ":
        stem, final = _without_final(stem) + "우", 0
    elif irregular == "ㄷ":
        return head + build(initial, vowel, FINALS.index("ㄹ")) + after_consonant
    elif irregular == "ㅅ":
        return _without_final(stem) + after_consonant
    elif irregular == "ㅎ" or (FINALS[final] == "ㄹ" and not keep_l):
        stem, final = _without_final(stem), 0
    elif FINALS[final] == "ㄹ":
        return stem + after_vowel
    if final:
        return stem + after_consonant
    if after_vowel[0] in "ㄴㄹ":
        head, initial, vowel, _ = _last(stem)
        return head + build(initial, vowel, FINALS.index(after_vowel[0])) + after_vowel[1:]
    return stem + after_vowel


def _past_stem(stem: str, irregular: str) -> str:
    head, initial, vowel, _ = _last(infinitive(stem, irregular))
    return head + build(initial, vowel, FINALS.index("ㅆ"))


def _present(stem: str, irregular: str) -> str:
    head, initial, vowel, final = _last(stem)
    if stem[-1] in "있없":
        return stem + "다"
    if final and FINALS[final] != "ㄹ":
        return stem + "는다"
    return head + build(initial, vowel, FINALS.index("ㄴ")) + "다"


def _before_n(stem: str, irregular: str) -> str:
    """Endings in ㄴ drop a final ㄹ: 살다 -> 사는."""
    return _without_final(stem) if FINALS[split(stem[-1])[2]] == "ㄹ" else stem


def _adnominal(stem: str, irregular: str) -> str:
    if stem[-1] in "있없":
        return stem + "는"
    return _with_eu(stem, irregular, "ㄴ", "은", keep_l=False)


ENDINGS = {
    "past": lambda s, k: _past_stem(s, k) + "다",  # 갔다
    "past_casual": lambda s, k: _past_stem(s, k) + "어",  # 갔어
    "had": lambda s, k: _past_stem(s, k) + "던",  # 갔던
    "but": lambda s, k: _past_stem(s, k) + "지만",  # 갔지만
    "casual": infinitive,  # 가
    "so": lambda s, k: infinitive(s, k) + "서",  # 가서
    "join": infinitive,  # 꺼내 (보다)
    "and": lambda s, k: s + "고",  # 가고
    "not": lambda s, k: s + "지",  # 가지 (않다)
    "present": _present,  # 간다 (verbs only; adjectives use the dictionary form)
    "plain": lambda s, k: s + "다",  # 크다
    "adnominal": _adnominal,  # 간, 큰
    "doing": lambda s, k: _before_n(s, k) + "는",  # 가는
    "to": lambda s, k: _with_eu(s, k, "러", "으러", keep_l=True),  # 가러
    "while": lambda s, k: _with_eu(s, k, "면서", "으면서", keep_l=True),  # 가면서
    "future": lambda s, k: _with_eu(s, k, "ㄹ", "을", keep_l=False),  # 갈
    "naming": lambda s, k: s + "기",  # 가기
    "recalling": lambda s, k: s + "던",  # 가던
    "lets": lambda s, k: s + "자",  # 가자
}


def conjugate(word: str, ending: str, irregular: str = "") -> str:
    """A verb or adjective in dictionary form with an ending of `ENDINGS`; the last word of a phrase is conjugated."""
    if not word.endswith("다") or len(word) < 2:
        raise ValueError(f"{word!r} is not a dictionary form: it must end in 다")
    if ending not in ENDINGS:
        raise ValueError(f"unknown ending {ending!r}; known: {', '.join(ENDINGS)}")
    head, space, last = word.rpartition(" ")
    return head + space + ENDINGS[ending](last[:-1], irregular)
