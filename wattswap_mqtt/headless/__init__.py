"""`wattswap simulate`: a community without MQTT over days to years, as fast as the machine goes."""
