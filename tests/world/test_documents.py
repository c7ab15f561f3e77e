import itertools
import math
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from gyebo.world import documents, log_probability


def test_same_seed_same_text_in_another_process_with_another_hash_seed():
    script = (
        "from gyebo.world import documents, translations, questions\n"
        "for d in documents(40, seed=5): print(d.text, repr(d.log_probability))\n"
        "for t in translations(20, seed=5): print(t)\n"
        "for q in questions(20, seed=5): print(q)\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, check=True, timeout=60,
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONIOENCODING": "utf-8"},
        ).stdout
        for hash_seed in ("1", "4242")
    }  # fmt: skip
    assert len(outputs) == 1
    assert len(outputs.pop()) > 10_000


def test_document_i_does_not_depend_on_where_the_stream_starts():
    whole = list(documents(60, seed=3))
    assert list(documents(20, seed=3, start=40)) == whole[40:]
    assert list(documents(1, seed=3, start=7)) == whole[7:8]


def test_seeds_differ_and_share_a_world():
    assert next(documents(1, seed=1)).text != next(documents(1, seed=2)).text
    assert next(documents(1, seed=1, world_seed=1)).text != next(documents(1, seed=1)).text


def test_each_document_is_one_normalised_line():
    seen = list(documents(300, seed=4))
    assert {d.language for d in seen} == {"ko", "en"}
    for d in seen:
        assert "\n" not in d.text and d.text == unicodedata.normalize("NFC", d.text) and d.text == d.text.strip()
        assert ("가" <= d.text[0] <= "힣") == (d.language == "ko")
        assert d.text.isascii() == (d.language == "en")


def test_documents_are_short_and_long():
    sentences = [d.text.count(".") + d.text.count("?") + d.text.count("!") for d in documents(600, seed=6)]
    assert min(sentences) >= 3
    assert sum(n >= 40 for n in sentences) > 20
    assert 10 < sum(sentences) / len(sentences) < 30


def test_both_languages_cost_one_more_choice():
    d = next(documents(1, seed=8, languages=("ko",)))
    assert log_probability(d.text, languages=("ko",)) == pytest.approx(d.log_probability, abs=1e-9)
    assert log_probability(d.text) == pytest.approx(d.log_probability - math.log(2), abs=1e-9)


@pytest.mark.parametrize("languages", [(), ("ko", "ko"), ("ko", "fr")])
def test_languages_are_checked(languages):
    with pytest.raises(ValueError, match="languages: found"):
        next(documents(1, languages=languages))


def _same_figures(count, seed):
    for d in documents(count, seed=seed):
        assert log_probability(d.text) == pytest.approx(d.log_probability, abs=1e-7), d.text


def test_the_parser_gives_the_samplers_figure():
    _same_figures(1_000, seed=21)


@pytest.mark.slow
def test_the_parser_gives_the_samplers_figure_on_many():
    _same_figures(10_000, seed=22)


def test_the_parser_names_the_first_offset_that_cannot_be_written():
    text = next(d.text for d in documents(50, seed=9, languages=("en",)) if "went" in d.text)
    at = text.index("went")
    with pytest.raises(ValueError, match="from character") as error:
        log_probability(text[:at] + "flew away" + text[at:])
    assert int(str(error.value).split("character ")[1].split()[0]) <= at
    for wrong in ("", "x", text + " ", text + "\n", text[:-1]):
        with pytest.raises(ValueError, match="grammar can't generate"):
            log_probability(wrong)


def test_entropy_is_neither_trivial_nor_noise():
    """The page quotes the rate: about 0.3 bits per byte over both languages, more in English."""
    seen = list(documents(800, seed=10))
    for language, low, high in (("ko", 0.2, 0.6), ("en", 0.25, 0.8)):
        some = [d for d in seen if d.language == language]
        bits = -sum(d.log_probability for d in some) / math.log(2) / sum(len(d.text.encode()) for d in some)
        assert low < bits < high


def test_vocabulary():
    from gyebo.world.facts import make_world

    text = " ".join(d.text for d in documents(2_000, seed=13, languages=("en",))).lower()
    words = {en for table in make_world().words.values() for _, en in table}
    nouns = {word for word in words if f" {word}" in text}
    assert len(nouns) > 300


def test_references_reach_far():
    """A place is remembered ("the first stop of all") hundreds of characters after it was named."""
    gaps = []
    for d in documents(400, seed=14, languages=("en",)):
        at = d.text.find(", the first stop of all")
        if at >= 0:
            place = d.text[:at].rsplit("thought back to the ", 1)[1]
            gaps.append(at - d.text.index(f"the {place}"))
    assert max(gaps) > 800 and len(gaps) > 10


@pytest.mark.parametrize(("count", "start"), [(-1, 0), (1, -1)])
def test_negative_indices_are_refused(count, start):
    with pytest.raises(ValueError, match="must not be negative"):
        next(documents(count, start=start))


def test_streams_are_lazy():
    assert len(list(itertools.islice(documents(10**9, seed=1), 3))) == 3


def test_the_page_shows_what_the_world_writes():
    """docs/world.md quotes two documents and their figures; they must be those of today's grammar."""
    page = (Path(__file__).parents[2] / "docs" / "world.md").read_text(encoding="utf-8")
    for seed, language in ((6, "ko"), (0, "en")):
        d = next(documents(1, seed=seed, languages=(language,)))
        bits, size = -d.log_probability / math.log(2), len(d.text.encode())
        assert f"--seed {seed} --language {language}" in page
        assert f"{d.text}\n    {bits:.2f} bits, {size} bytes: {bits / size:.4f} bits per byte" in page
