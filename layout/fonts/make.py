#!/usr/bin/env python3
"""Makes taxdisk-hei.ttf: the part of WenQuanYi Micro Hei that invoices need.

    apt-get install fonts-wqy-microhei && pip install fonttools==4.68.0
    python3 layout/fonts/make.py /usr/share/fonts/truetype/wqy/wqy-microhei.ttc

ASCII, Latin-1, Latin Extended-A, all of GB 2312, and the characters of common.txt, which names and shops use and GB 2312 lacks.
Hinting, kerning and bitmaps are dropped; outlines and widths are as they were. The name says that it is a part.
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

font = TTFont(sys.argv[1], fontNumber=0, recalcTimestamp=False)
missing = sorted(c for c in wanted if ord(c) not in font.getBestCmap())
if missing:
    sys.exit(f"the font lacks {''.join(missing)}")

options = subset.Options()
options.hinting = False
options.glyph_names = False
options.layout_features = []
options.drop_tables += ["EBDT", "EBLC", "GSUB", "GPOS", "vhea", "vmtx", "FFTM", "BDF "]
subsetter = subset.Subsetter(options)
subsetter.populate(text="".join(sorted(wanted)))
subsetter.subset(font)
for record in font["name"].names:
    if record.nameID in (1, 4, 16):
        record.string = "Taxdisk Hei (part of WenQuanYi Micro Hei)"
    elif record.nameID == 6:
        record.string = "TaxdiskHei"
font.save(here / "taxdisk-hei.ttf")
print(len(wanted), "characters")
