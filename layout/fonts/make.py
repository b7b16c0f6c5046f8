#!/usr/bin/env python3
"""Makes taxdisk-hei.ttf and taxdisk-mono.ttf: the parts of WenQuanYi Micro Hei that invoices need.

    apt-get install fonts-wqy-microhei && pip install fonttools==4.68.0
    python3 layout/fonts/make.py /usr/share/fonts/truetype/wqy/wqy-microhei.ttc

ASCII, Latin-1, Latin Extended-A, all of GB 2312, and the characters of common.txt, which names and shops use and GB 2312 lacks.
The second holds ASCII in equal widths, for the cipher area. Hinting, kerning and bitmaps are dropped; outlines and widths are as
they were. The names are others, because the fonts are parts.
"""

import pathlib
import sys

from fontTools import subset
from fontTools.ttLib import TTFont

here = pathlib.Path(__file__).parent


def gb2312():
    for high in range(0xA1, 0xF8):
        for low in range(0xA1, 0xFF):
            try:
                yield bytes([high, low]).decode("gb2312")
            except UnicodeDecodeError:
                pass


wanted = {chr(code) for code in [*range(0x20, 0x7F), *range(0xA0, 0x180)]} | set(gb2312())
wanted |= {c for c in (here / "common.txt").read_text("utf-8") if not c.isspace()}


def part(face, characters, name, file):
    font = TTFont(sys.argv[1], fontNumber=face, recalcTimestamp=False)
    missing = sorted(c for c in characters if ord(c) not in font.getBestCmap())
    if missing:
        sys.exit(f"the font lacks {''.join(missing)}")
    options = subset.Options()
    options.hinting = False
    options.glyph_names = False
    options.layout_features = []
    options.drop_tables += ["EBDT", "EBLC", "GSUB", "GPOS", "vhea", "vmtx", "FFTM", "BDF "]
    subsetter = subset.Subsetter(options)
    subsetter.populate(text="".join(sorted(characters)))
    subsetter.subset(font)
    for record in font["name"].names:
        if record.nameID in (1, 4, 16):
            record.string = name
        elif record.nameID == 6:
            record.string = name.replace(" ", "")
    font.save(here / file)
    print(file, len(characters), "characters")


part(0, wanted, "Taxdisk Hei", "taxdisk-hei.ttf")
part(1, {chr(code) for code in range(0x20, 0x7F)}, "Taxdisk Mono", "taxdisk-mono.ttf")
