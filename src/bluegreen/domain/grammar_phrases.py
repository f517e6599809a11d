"""The phrases of the grammar, as patterns over words. docs/ask.md shows them to people.

`<s>` stands for a service, `<v>` for a version; articles and politeness are gone before a pattern is tried.
"""

from __future__ import annotations

import re

from bluegreen.domain.grammar_words import MARKERS, NUMBER, word_set


def phrase(pattern: str) -> re.Pattern[str]:
    """Whole words only."""
    return re.compile(rf"(?<!\S)(?:{pattern})(?!\S)")


_RUN = (
    r"(?:(?:last|latest|current|running|ongoing|new|newest|recent|active|pending|waiting|blue-green|canary|this|that|"
    r"whole) )*"
    r"(?:deployment|deploy|deploying|release|rollout|roll out|change|upgrade|update|canary)"
)
_OLD = (
    r"(?:what was before|(?:previous|old|last|earlier|prior|former|preceding)(?: (?:good|working|stable|known good))?"
    r"(?: (?:version|release|deployment|one|state|side|slot|image|build))?)"
)
_NEW = (
    r"(?:new|newest|next|candidate|waiting|verified)(?: (?:version|release|side|slot|one|deployment|build))?"
    r"|canary(?: (?:version|release|deployment))?"
)
_SIDE = r"(?:blue|green)(?: (?:side|slot|version|one))?"
_TRAFFIC = r"(?:all(?: of)? (?:its |our |user )?)?(?:traffic|requests|users)"
_IT = r"(?:<s>|it|things)"
_OF = r"(?: (?:of|for|on|from) <s>)?"
_THING = r"(?:deployment|deploy|release|rollout|rollback|roll back|canary|upgrade|walk|switch)"
_RECENT = r"(?:last|latest|recent|most recent|newest|past|previous|earlier|current|running)"
_STRATEGY = r"(?:blue-green|blue green|canary)"
_DEPLOY = r"(?:redeploy|deploy|roll ?out|ship|release|install|launch|publish|push(?: out)?|upgrade|update)"
_DEPLOYED = (
    r"(?:redeploy(?:ed)?|deploy(?:ed)?|roll(?:ed)? ?out|ship(?:ped)?|releas(?:e|ed)|upgrad(?:e|ed)|updat(?:e|ed))"
)
_DEPLOYING = (
    r"(?:redeploying|deploying|rolling out|shipping|releasing|installing|upgrading|updating|"
    r"(?:blue-green |canary )?(?:deployment|release|rollout|upgrade))"
)
_SHOW = r"(?:(?:show|list|give|print|see|get|display|tell|read|fetch)(?: me| us)? )?"

ACTIONS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (operation, phrase(pattern))
    for operation, pattern in (
        # Questions come first: they hold the words of what they ask about.
        (
            "plan",
            rf"what (?:would|will|does) {_DEPLOYING}(?: of)?"
            rf"|what (?:happens|would happen|will happen) (?:if|when) (?:i|we|you) {_DEPLOYED}"
            rf"|what if (?:i|we|you) {_DEPLOYED}"
            rf"|{_SHOW}(?:deployment )?plan(?: (?:for|of|to))?(?: (?:{_DEPLOYING}|{_DEPLOY}))?"
            r"|(?:make |do )?(?:preview|simulate|dryrun|dry run|rehearse)(?: (?:for|of))?"
            rf"(?: (?:{_DEPLOYING}|{_DEPLOY}))?"
            rf"|(?:can|could|may) (?:i|we) {_DEPLOY}|(?:can|could) <s>(?: <v>)? be {_DEPLOYED}"
            rf"|is it possible to {_DEPLOY}|is there (?:enough )?(?:room|space|capacity) (?:for|to {_DEPLOY})"
            rf"|(?:check|see|tell me) (?:if|whether) (?:i|we) (?:can|could) {_DEPLOY}|would <s>(?: <v>)? fit",
        ),
        (
            "report",
            rf"{_SHOW}(?:full |whole |{_RECENT} )?(?:(?:deployment|release|rollout) )?report(?: (?:of|on|for|about))?"
            rf"|{_SHOW}everything about(?: (?:{_RECENT} )?{_THING})?|report (?:of|on|for|about)"
            rf"|why (?:(?:was|were|is|did|has|been|<s>|<v>|it|last|{_RECENT} {_THING}|{_THING}|of <s>) )*"
            r"(?:rolled back|roll back|aborted|fail|failed|failing|not deployed|go wrong|gone wrong|went wrong)"
            rf"|what went wrong(?: (?:with|in|on)(?: (?:{_RECENT} )?{_THING})?)?",
        ),
        (
            "history",
            rf"{_SHOW}(?:(?:deployment|release|rollout) )?history"
            rf"|what(?: has|'s)? happened(?: (?:to|with|on|in|during)(?: (?:{_RECENT} )?{_THING})?)?"
            rf"|{_SHOW}(?:{_RECENT}|all)(?: {NUMBER})? (?:deployments|releases|rollouts|rollbacks)"
            rf"|(?:show|list|give|print|see|get|display)(?: me| us)? (?:{NUMBER} )?"
            r"(?:deployments|releases|rollouts|rollbacks)"
            rf"|(?:show(?: me| us)?|list|describe|what was|when was|who did|who made) {_RECENT} {_THING}"
            rf"|(?:when|who|what|how often)(?: (?:was|were|did|have|has|been|had|i|we|you|somebody|<s>|<v>|last))* "
            rf"(?:{_DEPLOYED}|(?:roll|rolled)(?: <s>)? back|promoted|aborted)"
            rf"|which versions (?:ran|were|have run|did (?:we|i) (?:deploy|run))",
        ),
        (
            "logs",
            rf"{_SHOW}(?:tail |view )?(?:last |latest )?(?:{NUMBER} lines (?:of|from) )?(?:<s> )?"
            rf"(?:logs?|log files?|log lines|log output|output)"
            rf"|what (?:did|does|is) (?:{_SIDE}|<s>) (?:say|saying|write|writing|log|logging|print|printing)",
        ),
        (
            "status",
            rf"(?:(?:what's|what is|what are|check|how's|how is) )?{_SHOW}(?:<s> )?(?:current )?"
            rf"(?:status|state|health|progress|situation|overview)(?: (?:of|for|on))?(?: (?:{_RECENT} )?{_THING})?"
            rf"|(?:how's|how is|how are|how does|how did|how goes|how far is|how far are)"
            rf"(?: (?:{_RECENT} )?{_THING})?"
            r"|(?:what's|what is|what are|what) (?:<s> )?(?:going on|happening|running|live|active|deployed|doing|"
            r"runs|up)"
            rf"|(?:what's|what is)(?: {_RECENT})? {_THING}(?: of <s>)? doing"
            r"|(?:which|what) (?:version|image|side|slot|color)s?"
            r"(?: (?:of|is|are|does|do|runs?|has|have|gets?|serves?))*"
            rf"|(?:is|are|did)(?: (?:<s>|it|everything|all|we|{_RECENT} {_THING}|{_THING}|of <s>))* (?:up|ok|okay|fine|"
            rf"healthy|alive|running|down|well|live|stable|done|ready|finished|finish|working|work|through|succeed|good)"
            rf"|(?:who|which side|which slot) (?:has|gets)|where (?:is|are|does|do)(?: {_THING})?|show(?: me| us)? <s>",
        ),
        (
            "rollback",
            rf"roll (?:{_IT}|{_RUN}{_OF}|<s> {_RUN}) back"
            rf"|(?:do |perform |start |make |trigger )?(?:roll ?back|revert|undo|back out)(?: of)?"
            rf"|(?:go|switch|change|move|return|fall|flip|turn)(?: (?:{_IT}|{_TRAFFIC}))?{_OF} back"
            rf"|(?:move|switch|send|put|bring|take|flip|shift|direct|route|set) (?:{_TRAFFIC}|{_IT}){_OF} back"
            rf"|(?:bring|put|take) back(?= {_OLD})|(?:return|restore|reinstate)(?: (?:<s>|to))*(?= {_OLD})",
        ),
        (
            "abort",
            rf"abort|cancel|call off|call (?:{_IT}|{_RUN}{_OF}) off|stop deploying|stop releasing"
            rf"|(?:stop|halt|end|interrupt|kill|terminate)(?= (?:<s> )?{_RUN})",
        ),
        (
            "approve",
            rf"(?:i |we )?approve|give (?:<s> |it )?(?:my |our |your )?approval"
            rf"|sign off|give (?:{_IT}|{_RUN}{_OF}) green light|greenlight",
        ),
        (
            "promote",
            rf"promote|let (?:{_NEW}|{_SIDE}|{_IT}){_OF} (?:have|take|get|receive|serve) {_TRAFFIC}"
            rf"|let (?:{_NEW}|{_SIDE}|{_IT}){_OF} (?:through|go live)"
            rf"|(?:move|switch|send|give|shift|direct|route|flip|hand|cut)(?: over)? {_TRAFFIC}{_OF}(?: over)?"
            rf"(?= to (?:{_NEW}|{_SIDE}))"
            rf"|give (?:{_NEW}|{_SIDE}){_OF} {_TRAFFIC}"
            rf"|(?:switch|cut)(?: <s>)?(?: over)?(?= to (?:{_NEW}|{_SIDE}))|(?:switch|cut) (?:<s> )?over"
            rf"|(?:go|take) (?:{_IT} )?live(?: with)?(?!(?: with)?(?: <s>)? <v>)|accept(?= (?:{_NEW}|{_SIDE}))",
        ),
        (
            "deploy",
            rf"(?:do|start|begin|make|perform|run|launch|kick off|trigger|initiate|try)(?: new)?"
            rf"(?: {_STRATEGY})? (?:deployment|release|rollout|roll out|deploy|upgrade|canary)(?: of)?"
            rf"|(?:start|begin) (?:deploying|releasing|rolling out|shipping)"
            rf"|{_STRATEGY} (?:deployment|release|rollout|deploy)(?: of)?|canary(?= (?:<s>|<v>))"
            rf"|roll (?:<s>|<v>|it)(?: (?:<v>|of <s>))? out|{_DEPLOY}(?: <s>)?(?: out)?"
            rf"|(?:bump|bring|move|take|switch|change|set|get)(?: <s>| it)?(?: up)?(?= to <v>)"
            rf"|put(?: (?:<v>|<s>|of|for|on))+ (?:live|in place|into service)|put(?= <v> (?:of|on) <s>)"
            rf"|(?:take|go)(?: <s>)? live(?: with)?(?= (?:<s> )?<v>)|(?:use|run|start)(?= (?:<s> )?<v>)",
        ),
    )
)
"""Operation and pattern, tried in this order."""
CHANGING = frozenset(("deploy", "promote", "approve", "abort", "rollback"))

OBJECTS: dict[str, tuple[re.Pattern[str], ...]] = {
    "rollback": (phrase(rf"(?:to )?{_OLD}"), phrase(_RUN)),
    "abort": (phrase(_RUN),),
    "approve": (phrase(_RUN), phrase(rf"(?:to )?(?:{_NEW})")),
    "promote": (phrase(rf"(?:to )?(?:{_NEW})"), phrase(_RUN)),
    "deploy": (phrase(r"new(?= <v>)"),),
    "plan": (phrase(r"new(?= <v>)"), phrase(r"do|mean|change|look like|need|take|involve|now")),
    "report": (phrase(rf"(?:of |on |for |about )?(?:{_RECENT} )?{_THING}"),),
    "history": (phrase(r"deployments|releases|rollouts|last time|last"),),
    "logs": (phrase(rf"{_RECENT} (?:version|deployment|release)"),),
    "status": (
        phrase(r"doing|going|looking|look|stand|standing|traffic|services|service|everything|all|now|right|things|go"),
    ),
}
"""What an action may be applied to, in so many words; it means nothing more."""

SIDE = phrase(r"(?:(?:to|of|from|on) )?(blue|green)(?: (?:side|slot|version|one|workload))?")
COLOR = phrase(r"(blue|green)")
LIMIT = phrase(rf"(?:last|latest|newest|recent) {NUMBER}(?: (?:deployments|releases|rollouts|ones))?")
LINES = phrase(rf"(?:last |latest )?{NUMBER} lines")
SERVICE_WORD = phrase(r"(?:service )?<s>(?: service)?")

DROPPED = word_set("the a an please pls plz kindly just thanks thx now immediately asap quickly")
POLITE = tuple(
    phrase(pattern)
    for pattern in (
        r"^(?:hey|hi|hello|ok|okay|alright)(?: bluegreen| blue-green)?",
        r"^(?:can|could|would|will) you",
        r"^(?:i|we) (?:want|need|would like|'d like)(?: you)? to|^(?:i'd|we'd) like(?: you)? to",
        r"^(?:let's|lets|let us)(?= )",
        r"^go ahead and|^it's time to|^time to|^be so kind and",
        r"thank you(?: very much)?|many thanks|right away|right|at once|for (?:me|us)",
    )
)
BEGGING = word_set("please pls plz kindly")
ASKED_OF_US = phrase(r"(?:can|could|would|will) you")
THANKS = phrase(r"(?:thanks|thx|thank you)(?: very much| a lot| so much)? (?:for|to)")
NEWER = re.compile(r"redeploy|upgrad|updat|releas")
"""Verbs that mean a certain version: without one they would bring the configured image, perhaps an older one."""
FILLERS = word_set("of to for on in at with using it its our my me us by service")
READING_FILLERS = word_set(
    "show list give see get print display tell is are was were be been do does did i we you what's what how can could "
    "from about and running live deployed there currently"
)
TIMES = word_set(
    "yesterday today last this week night morning afternoon evening month hour hours day days recently lately"
)
"""No part of any operation; for who only looks they are mentioned and left out."""
ENVIRONMENTS = word_set("production prod staging stage testing test development dev preproduction")
VERBS = word_set(
    "redeploy deploy roll rollback rollout revert undo promote approve abort cancel release ship switch move go put "
    "let give upgrade update install launch push publish start begin do make canary restore return bring take call "
    "halt kill accept cut shut restart stop report"
)
"""What an order may begin with."""
JOINS = word_set(", and then but or plus & also")
LEADS = DROPPED | word_set("then also so just you we i")

NEGATIONS = word_set(
    "not no never nor neither none nothing nobody dont doesnt didnt isnt arent wasnt wont cant cannot shouldnt wouldnt "
    "couldnt mustnt avoid refuse prevent forget instead except"
)
CONDITIONS = word_set(
    "if unless when whenever once until till after before while as soon later tomorrow tonight provided assuming "
    "otherwise else or either maybe perhaps only then"
)

RESERVED = frozenset(
    word
    for pattern in (
        *(pattern.pattern for _, pattern in ACTIONS),
        *(pattern.pattern for patterns in OBJECTS.values() for pattern in patterns),
        *(pattern.pattern for pattern in POLITE),
        "seconds minutes hours days half watch monitor observe keep retain leave drain wait hold pause ask approval",
        "replicas copies instances gpus each strategy style method background return again anyway because person human",
    )
    for word in re.findall(r"[a-z][a-z'-]+", pattern)
) | FILLERS | DROPPED | NEGATIONS | CONDITIONS | MARKERS | VERBS | JOINS  # fmt: skip
"""Words of the grammar: a service or tag of such a name must be quoted or marked."""
