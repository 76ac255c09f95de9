"""How failures are healed: recognised, and answered with a remedy, within bounds."""
