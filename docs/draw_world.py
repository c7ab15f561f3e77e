"""Draws docs/images/world-pictures.png: scenes of the world, below them the same ones as outlines, last combinations never seen.

python docs/draw_world.py
"""

from pathlib import Path

from PIL import Image

from gyebo.world import pictures

COLUMNS, SIZE, GAP = 12, 64, 4
ROWS = [{"start": 0}, {"start": COLUMNS}, {"start": 0, "style": "outline"}, {"start": 0, "unseen": True}]

sheet = Image.new("RGB", (COLUMNS * (SIZE + GAP) - GAP, len(ROWS) * (SIZE + GAP) - GAP), "white")
for row, options in enumerate(ROWS):
    for column, picture in enumerate(pictures.pictures(COLUMNS, **options)):
        sheet.paste(Image.fromarray(picture.draw(SIZE)), (column * (SIZE + GAP), row * (SIZE + GAP)))
sheet.save(Path(__file__).parent / "images" / "world-pictures.png", optimize=True)
