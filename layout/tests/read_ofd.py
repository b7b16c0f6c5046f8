"""Reads an OFD with easyofd and its fonts with fontTools; prints JSON: texts by page, and the characters that no embedded font maps."""

import base64
import contextlib
import io
import json
import sys

from loguru import logger

logger.remove()
with contextlib.redirect_stdout(io.StringIO()):
    from easyofd.ofd import OFD
    from fontTools.ttLib import TTFont

    reader = OFD()
    reader.read(sys.argv[1], fmt="path")
(document,) = reader.data
maps, outlined = {}, {}
for key, font in document["fonts"].items():
    file = TTFont(io.BytesIO(base64.b64decode(font["font_b64"])))
    maps[key] = file.getBestCmap()
    outlined[key] = {code for code, name in maps[key].items() if file["glyf"][name].numberOfContours != 0}
pages, unmapped = [], []
for page in document["page_info"].values():
    texts = page["text_list"]
    pages.append([text["text"] for text in texts])
    for text in texts:
        for character in text["text"]:
            code = ord(character)
            if code not in maps[text["font"]] or (not character.isspace() and code not in outlined[text["font"]]):
                unmapped.append(character)
print(json.dumps({"pages": pages, "unmapped": unmapped, "sizes": document["page_size"]}))
