"""A Compose file's services as `services.*` tables of `bluegreen.toml`.

    reading         read(path, environment)          the file, its `.env` and its `env_file`s → a Project
    translate       translate(project)               Project → tables, comments and notes; pure
    toml            document(tables, comments)       tables → the text of a configuration

Nothing is imported here: only `bluegreen import-compose` pays for the YAML reader.
"""
