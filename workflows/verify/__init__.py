"""Verify: every law and every definition as a named check, and a report of what they found."""
