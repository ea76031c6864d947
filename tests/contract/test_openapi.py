"""REST is what was committed: the OpenAPI document of the bridge."""

from committed import check

from wattswap_mqtt.config import Settings
from wattswap_mqtt.roles.bridge.api import create_app


def test_openapi(tmp_path):
    document = create_app(Settings(data_dir=tmp_path)).openapi()
    document["info"]["version"] = "0.0.0"
    check("openapi", document)
