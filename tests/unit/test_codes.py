import re
from pathlib import Path

import wattswap_mqtt
from wattswap_mqtt.contract.codes import CODES

PACKAGE = Path(wattswap_mqtt.__file__).parent
RAISED = re.compile(r'(?:CommandError|RefusalError)\(\s*"(\w+)"')


def test_every_code_that_is_raised_is_told():
    raised = {code for path in PACKAGE.rglob("*.py") for code in RAISED.findall(path.read_text("utf-8"))}
    assert len(raised) > 15
    assert raised <= set(CODES)


def test_codes_are_stable_words():
    assert all(re.fullmatch(r"[a-z]+[a-z0-9]*(_[a-z0-9]+)*", code) for code in CODES)
