"""The findings as lines of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len

from gyebo.jobs.inspection.neurons.results import Neurons

GAP = "  "


def lines_of(neurons: Neurons) -> Iterator[str]:
    """What was found by group and by concept, and what is lost without it."""
    yield (
        f"{neurons.units_found} of {neurons.units:,} units answer to a concept in all ways, for {neurons.concepts_found} of "
        f"{neurons.concepts_asked} concepts (level {neurons.level:g}, {neurons.permutations:,} permutations)"
    )
    yield ""
    yield from _aligned(
        ("group", "concepts", "pairs found", "by coincidence", "p"),
        [(g.group or "all", g.concepts, g.found, f"{g.expected:.1f}", f"{g.p:.3f}") for g in neurons.groups],
    )
    yield ""
    styles = list(neurons.concepts[0].units[0].auc)
    rows = []
    for concept in neurons.concepts:
        best = concept.units[0]
        aucs = [f"{best.auc[style]:.3f}" for style in styles]
        where = f"{best.layer} {best.unit}{'' if best.direction > 0 else ' (lower)'}"
        rows.append((concept.name, concept.found, where, *aucs, f"{best.p:.3f}"))
    yield from _aligned(("concept", "found", "surest unit", *(f"AUC {style}" for style in styles), "p"), rows)
    lost = [(concept, effect) for concept in neurons.concepts for effect in concept.effects]
    if lost:
        yield ""
        yield from _aligned(
            ("right answers", "of", "silenced", "whole", "without", "random ones", "p", "others", "without"),
            [
                (
                    effect.kind,
                    concept.name,
                    effect.units,
                    f"{effect.own.whole:.0%}",
                    f"{effect.own.silenced:.0%}",
                    f"{effect.own.random:.0%} ± {100 * effect.own.spread:.0f}",
                    f"{effect.p:.2f}",
                    f"{effect.others.whole:.0%}",
                    f"{effect.others.silenced:.0%}",
                )
                for concept, effect in lost
            ],
        )
    yield ""
    yield f"the page is {neurons.file}"


def _aligned(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """A table in columns, numbers at the right, also where letters are two cells wide."""
    table = [[str(value) for value in row] for row in [head, *rows]]
    widths = [max(cell_len(value) for value in column) for column in zip(*table)]
    left = [not (row_of := [row[n] for row in table[1:]]) or not all(v[:1].isdigit() for v in row_of) for n in range(len(head))]
    for row in table:
        cells = []
        for value, width, flush in zip(row, widths, left):
            space = " " * (width - cell_len(value))
            cells.append(value + space if flush else space + value)
        yield GAP.join(cells).rstrip()
