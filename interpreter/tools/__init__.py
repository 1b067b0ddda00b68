"""Tools: typed functions that programs call."""
