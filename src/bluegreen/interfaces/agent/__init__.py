"""Free text with a model of the user's (extra `agent`): one more caller of the operations that decides nothing itself.

tools       the operations as tools of pydantic-ai: checked, confirmed, called
session     one sentence to its end
"""
