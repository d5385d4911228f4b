"""Documents that are made from the source, so that they cannot say anything else than the source does.

Each module is pure: it takes the vocabulary, the settings, the commands, the routes or the migrations, and gives text.
`python -m scripts.generating` (or `scripts/generate`) writes the files, and `--check` compares them.
"""
