"""`python3 -m pages SETTINGS`: build every page with the settings of a place."""

import configparser
import sys

from pages import build

settings = configparser.ConfigParser()
settings.read(sys.argv[1], encoding="utf-8")
for name, page in build(settings["site"]).items():
    print(f"{name}: {len(page)} characters")
