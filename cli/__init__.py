"""The commands of minkgen: argument parsing and rendering only."""
