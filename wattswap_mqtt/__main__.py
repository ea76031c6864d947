"""`python -m wattswap_mqtt` is `wattswap`."""

from wattswap_mqtt.cli import main

if __name__ == "__main__":
    main()
