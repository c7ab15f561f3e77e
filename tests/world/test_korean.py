"""Particles and endings, by hand-written cases and by a second rule over sampled text."""

import re

import pytest

from gyebo.world import documents, korean, lexicon
from gyebo.world.facts import TIES, make_world


@pytest.mark.parametrize(
    ("word", "name", "expected"),
    [
        ("사과", "은", "사과는"), ("빵", "은", "빵은"), ("나무", "이", "나무가"), ("책", "이", "책이"),
        ("우유", "을", "우유를"), ("물", "을", "물을"), ("친구", "과", "친구와"), ("동생", "과", "동생과"),
        ("학교", "으로", "학교로"), ("시장", "으로", "시장으로"), ("역", "으로", "역으로"), ("물", "으로", "물로"),
        ("절", "으로", "절로"), ("의사", "이다", "의사다"), ("학생", "이다", "학생이다"),
        ("화가", "이었다", "화가였다"), ("농부", "이었다", "농부였다"), ("선생님", "이었다", "선생님이었다"),
        ("민준", "아", "민준아"), ("지우", "아", "지우야"), ("나비", "이라는", "나비라는"), ("구름", "이라는", "구름이라는"),
        ("등대", "에서", "등대에서"), ("서연", "에게서", "서연에게서"), ("강가", "에는", "강가에는"),
    ],
)  # fmt: skip
def test_particle(word, name, expected):
    assert korean.particle(word, name) == expected


def test_particle_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="unknown particle '마저'"):
        korean.particle("책", "마저")
    with pytest.raises(ValueError, match="'k' is not a Hangul syllable"):
        korean.particle("book", "은")


@pytest.mark.parametrize(
    ("word", "irregular", "ending", "expected"),
    [
        ("가다", "", "past", "갔다"), ("오다", "", "past", "왔다"), ("보다", "", "past", "보았다"),
        ("주다", "", "past", "주었다"), ("배우다", "", "past", "배웠다"), ("마시다", "", "past", "마셨다"),
        ("먹다", "", "past", "먹었다"), ("찾다", "", "past", "찾았다"), ("하다", "", "past", "했다"),
        ("크다", "", "past", "컸다"), ("기쁘다", "", "past", "기뻤다"), ("아프다", "", "past", "아팠다"),
        ("따르다", "", "past", "따랐다"), ("보내다", "", "past", "보냈다"), ("켜다", "", "past", "켰다"),
        ("되다", "", "past", "됐다"), ("쉬다", "", "past", "쉬었다"), ("피우다", "", "past", "피웠다"),
        ("돕다", "ㅂ", "past", "도왔다"), ("춥다", "ㅂ", "past", "추웠다"), ("즐겁다", "ㅂ", "so", "즐거워서"),
        ("걷다", "ㄷ", "past", "걸었다"), ("듣다", "ㄷ", "to", "들으러"), ("짓다", "ㅅ", "past", "지었다"),
        ("부르다", "르", "past", "불렀다"), ("모르다", "르", "past", "몰랐다"), ("기르다", "르", "past", "길렀다"),
        ("떠오르다", "르", "past", "떠올랐다"), ("빨갛다", "ㅎ", "past", "빨갰다"), ("하얗다", "ㅎ", "so", "하얘서"),
        ("커다랗다", "ㅎ", "adnominal", "커다란"), ("푸르다", "러", "past", "푸르렀다"),
        ("가다", "", "and", "가고"), ("먹다", "", "so", "먹어서"), ("가다", "", "so", "가서"),
        ("살다", "", "present", "산다"), ("가다", "", "present", "간다"), ("먹다", "", "present", "먹는다"),
        ("앉아 있다", "", "present", "앉아 있다"), ("살다", "", "doing", "사는"), ("듣다", "ㄷ", "doing", "듣는"),
        ("밝다", "", "adnominal", "밝은"), ("느긋하다", "", "adnominal", "느긋한"), ("길다", "", "adnominal", "긴"),
        ("재미있다", "", "adnominal", "재미있는"), ("즐겁다", "ㅂ", "adnominal", "즐거운"),
        ("수줍음이 많다", "", "adnominal", "수줍음이 많은"), ("사다", "", "to", "사러"), ("만들다", "", "to", "만들러"),
        ("돕다", "ㅂ", "to", "도우러"), ("찾다", "", "to", "찾으러"), ("웃다", "", "while", "웃으면서"),
        ("불다", "", "while", "불면서"), ("서럽다", "ㅂ", "future", "서러울"), ("기쁘다", "", "future", "기쁠"),
        ("먹다", "", "future", "먹을"), ("슬프다", "", "but", "슬펐지만"), ("기쁘다", "", "casual", "기뻐"),
        ("쉬다", "", "past_casual", "쉬었어"), ("매다", "", "past", "맸다"), ("쬐다", "", "past", "쬈다"),
    ],
)  # fmt: skip
def test_conjugation(word, irregular, ending, expected):
    assert korean.conjugate(word, ending, irregular) == expected


def test_conjugation_refuses_other_forms():
    with pytest.raises(ValueError, match="dictionary form"):
        korean.conjugate("갔어", "past")
    with pytest.raises(ValueError, match="unknown ending 'soon'"):
        korean.conjugate("가다", "soon")


# stems in ㅂ, ㄷ, ㅅ, 르, ㅎ that are regular; whatever else ends so must stand in IRREGULAR
_REGULAR = {"씻다", "웃다", "빗다", "뒤집다", "믿다", "쌓다", "받다", "잠기다"}  # fmt: skip


def test_every_stem_that_may_be_irregular_is_decided():
    world = make_world(0)
    verbs = [ko for table in world.words.values() for ko, _ in table if ko.endswith("다")]
    verbs += re.findall(r"\[([^\].]+)\.\w+\]", repr(_rows()))
    assert len(verbs) > 100
    for verb in verbs:
        last = verb.split()[-1]
        if not re.search("[가-힣]", last):
            continue
        final = korean.FINALS[korean.split(last[-2])[2]]
        if final in ("ㅂ", "ㄷ", "ㅅ", "ㅎ") or last.endswith("르다"):
            assert last in lexicon.IRREGULAR or last in _REGULAR, verb


def _rows():
    from gyebo.world.grammar import ROWS

    return ROWS


def _nouns():
    world = make_world(0)
    tables = ("place", "food", "drink", "thing", "fixture", "colour", "job", "pet", "pet_name", "creature", "season",
              "daytime", "side", "town_kind", "town_second")  # fmt: skip
    words = [ko for table in tables for ko, _ in world.words[table]]
    words += [p.given[0] for p in world.people] + [ko for ko, _ in TIES]
    return {word.split()[-1] for word in words}


def test_particles_in_sampled_text_by_a_second_rule():
    """The rule is written again here, from code points: (code - 0xAC00) % 28 is 0 after a vowel and 8 after ㄹ."""
    pairs = {
        "은": "는", "이": "가", "을": "를", "과": "와", "으로": "로", "이다": "다", "이었다": "였다", "아": "야",
        "이라는": "라는", "이야": "야",
    }  # fmt: skip
    nouns, checked = _nouns(), 0
    for document in documents(400, seed=11, languages=("ko",)):
        for word in re.findall("[가-힣]+", document.text):
            for consonant, vowel in pairs.items():
                for particle in (consonant, vowel):
                    noun = word[: -len(particle)]
                    if not word.endswith(particle) or noun not in nouns:
                        continue
                    if len(noun) == 1 and particle in ("다", "이다"):
                        continue  # 연다 is "opens", not "is a kite"
                    final = (ord(noun[-1]) - 0xAC00) % 28
                    after_consonant = final != 0 and not (particle in ("으로", "로") and final == 8)
                    if particle == "야":  # 이야 after a consonant is another pair, 야 after a vowel is this one
                        after_consonant = final != 0
                    assert particle == (consonant if after_consonant else vowel), word
                    checked += 1
    assert checked > 4000
