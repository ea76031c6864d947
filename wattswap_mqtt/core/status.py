"""Status line and badge: a table of rules, first match wins."""

STATUS_LINES: tuple[str, ...] = (
    "Fault simulation for testing diagnostics",
    "Emergency backup mode",
    "Off-grid operation, vulnerable to battery depletion",
    "EV fast charging from solar",
    "Testing load response and battery buffering",
    "Optimal prosumer operation",
    "Energy storage building reserves",
    "Prosumer actively selling surplus",
    "Smart purchasing to maintain reserves",
    "Battery providing backup power",
    "Self-generation covering most load",
    "Grid-dependent consumption",
    "All systems operational",
)
BADGES: tuple[str, ...] = (
    "Diagnostics Required", "Grid Failure", "Island Mode", "EV Charging Active", "High Load Detected", "Optimized", "Battery Charging",
    "Selling", "Smart Buying", "Battery Backup", "Solar Powered", "Grid Powered", "Online",
)  # fmt: skip
