"""REST is what was committed: the OpenAPI document of the bridge."""

import pytest
from committed import check
from fits import problems

from wattswap_mqtt.config import Settings
from wattswap_mqtt.roles.bridge.api import create_app


@pytest.fixture
def document(tmp_path):
    return create_app(Settings(data_dir=tmp_path)).openapi()


def test_openapi(document):
    document["info"]["version"] = "0.0.0"
    check("openapi", document)


@pytest.mark.parametrize("name", ["Snapshot", "Order", "Market", "Switches", "Health"])
def test_the_examples_are_what_their_schemas_say(document, name):
    schema = document["components"]["schemas"][name]
    [example] = schema["examples"]
    assert problems(example, schema) == []
