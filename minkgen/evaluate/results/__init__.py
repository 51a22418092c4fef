"""What evaluations found, read back from the JSON that they left, as tables and figures.

`surrogates` and `superres` make the tables, `evaluations` reads the folder of one evaluation.
"""
