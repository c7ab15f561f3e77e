"""Models that see and draw: LXMERT and ViLBERT on NLVR, the small Korean DALL-E."""

from __future__ import annotations

from statistics import mean

from result_tables.files import Rows, stored

AMONG = "first among the texts"
ARMS = {
    "real pictures": "real pictures",
    "real pictures, through the codes": "through the codes",
    "drawings": "drawings",
    "drawings of other texts": "of other texts",
}
TITLES = {"lxmert": "LXMERT", "vilbert": "ViLBERT"}
FEWEST_ASKED = 100  # statements of a form for which a share is told
FACTS = ("thing", "colour", "shape", "size", "place", "mood", "skin tone", "all facts")


def _share(value: float) -> str:
    return f"{100 * value:.1f}"


def korean_dalle() -> Rows:
    """How often a picture's own text is the nearest of all texts of its set, in per cent."""
    rows = [["", *ARMS.values(), "best of 4", "best of 16", "chance"]]
    for name, found in stored("korean-dalle")["sets"].items():
        arms, best = found["arms"], found["best_of"]
        values = [*(arms[arm][AMONG] for arm in ARMS), best["4"][AMONG], best["16"][AMONG], arms["chance"][AMONG]]
        rows.append([name, *map(_share, values)])
    return rows


def korean_dalle_facts() -> Rows:
    """How often a picture's own text is nearer than all that differ in one fact, in per cent."""
    rows = [["", "fact", "real pictures", "drawings", "best of 16", "chance"]]
    for name, found in stored("korean-dalle")["sets"].items():
        arms, best = found["arms"], found["best_of"]["16"]
        for fact in (each for each in FACTS if each in arms["chance"]):
            values = (arms["real pictures"][fact], arms["drawings"][fact], best[fact], arms["chance"][fact])
            rows.append([name, fact, *map(_share, values)])
    return rows


def korean_dalle_codes() -> Rows:
    """How well pictures come back from their codes."""
    rows = [["pictures", "peak signal-to-noise ratio", "codes used", "perplexity of the codes"]]
    for name, found in stored("korean-dalle")["reconstructions"].items():
        rows.append([name, f"{found['psnr']:.1f} dB", str(found["codes_used"]), f"{found['codebook_perplexity']:.0f}"])
    return rows


def nlvr() -> Rows:
    """Right answers on NLVR, in per cent: the mean of the seeds, and each of them."""
    found = stored("nlvr")
    constant = [_share(found["always_true"][part]) for part in ("dev", "test")]
    rows = [["", "dev", "public test", "each seed on it"], ['always "true"', *constant, ""]]
    for family, learned in found["families"].items():
        for arm, values in learned["arms"].items():
            means = [_share(mean(values[part])) for part in ("valid", "test")]
            rows.append([f"{TITLES[family]}, {arm}", *means, ", ".join(map(_share, values["test"]))])
    return rows


def nlvr_forms() -> Rows:
    """Right answers without fine-tuning by form of statement, in per cent."""
    found = stored("nlvr_forms")
    rows = [["form of statement", "statements", *(TITLES[family] for family in found["families"])]]
    for form, count in found["asked"].items():
        if count >= FEWEST_ASKED:
            rows.append([form, f"{count:,}", *(_share(shares[form]) for shares in found["families"].values())])
    return rows


TABLES = (korean_dalle, korean_dalle_facts, korean_dalle_codes, nlvr, nlvr_forms)
