"""So that `uvicorn main:app --reload`, as the original backend's instructions have it, serves the whole system."""

from wattswap_mqtt.asgi import app

__all__ = ["app"]
