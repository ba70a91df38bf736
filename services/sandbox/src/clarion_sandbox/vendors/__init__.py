"""The stand-ins, one file for each vendor."""
