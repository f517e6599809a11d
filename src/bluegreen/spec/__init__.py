"""`bluegreen.toml` and what it means.

    loading         load(path), parse(text)          the file → Configuration, or every problem at once
    overrides       apply_overrides(spec, {...})     `deploy --set KEY=VALUE`
    differences     differences(old, new)            what `bluegreen reload` can apply and what it can't
    schema          json_schema()                    for editors; published beside this file
    keys            configuration_keys()             every key with its type, default and meaning
    compose         read(path), translate(project)   a Compose file → tables of `bluegreen.toml`
    placeholders    problem_in(text)                 `{port}` and its kin

Nothing is imported here, so that reading a settings class does not cost the import of pydantic.
"""
