"""Draw docs/images/tree.svg from the table of families (gyebo/models/family.py):

python docs/draw_tree.py
"""

from pathlib import Path

from gyebo.figures.tree import Member, draw_tree
from gyebo.models.family import FAMILIES

PICTURE = Path(__file__).parent / "images" / "tree.svg"


def main(path: Path = PICTURE) -> None:
    """Draw all families into `path`."""
    members = [Member(f.name, f.title, f.year, f.parents, f.novelty) for f in FAMILIES.values()]
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_tree(members, path)


if __name__ == "__main__":
    main()
