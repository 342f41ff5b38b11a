"""What `piped check` says about every kind of mistake: exactly, at its place, and with what to do about it."""

import pytest

#: What is wrong -> (the configuration, or several files by name; what is told, line by line).
MISTAKES = {
    "a section that nobody reads, and that looks like a slip of the pen": (
        "pipeline:\n  a: [passthrough]\n",
        ["site.yaml:1:1: unknown section 'pipeline' – did you mean 'pipelines'?"],
    ),
    "a key that a section does not have, for one that it needs": (
        "ticks:\n  interval:\n    often: {interval: 1, procesor: a}\npipelines: {a: [passthrough]}\n",
        [
            "site.yaml:3:5: ticks.interval.often needs the option 'processor' – add it: what gets the ticks.",
            "site.yaml:3:26: ticks.interval.often has no option 'procesor' – did you mean 'processor'?",
        ],
    ),
    "an option that a processor does not have": (
        "pipelines:\n  a:\n    - wait: {delay: 1, dalay: 1}\n",
        ["site.yaml:3:24: wait has no option 'dalay' – did you mean 'delay'?"],
    ),
    "options of which one is needed": (
        "pipelines:\n  a:\n    - log\n    - clean-baton\n",
        [
            "site.yaml:3:7: log needs either message or message_path – write one of the two",
            "site.yaml:4:7: clean-baton: there is neither keep nor remove – list the paths to keep, or to remove",
        ],
    ),
    "a processor that does not exist": (
        "pipelines:\n  a:\n    - set-valu: {path: x, value: 1}\n",
        ["site.yaml:3:7: unknown processor 'set-valu' – did you mean 'set-value'?"],
    ),
    "a processor of Piped 0.7 that is not carried over": (
        "pipelines: {a: [wrap-coroutine]}\n",
        ["site.yaml:1:17: unknown processor 'wrap-coroutine' – not needed any more: a processor may be an `async def`"],
    ),
    "a pipeline that does not exist": (
        "pipelines:\n  hello:\n    - passthrough\n  a:\n    - run-pipeline: {pipeline: helo}\n",
        ["site.yaml:5:32: there is no pipeline 'helo' – did you mean 'hello'?"],
    ),
    "a resource that nobody offers": (
        "contexts: {users: {}}\npipelines:\n  a:\n    - fetch-context: {context: user}\n",
        ["site.yaml:4:32: there is no 'context.user' – did you mean 'users'?"],
    ),
    "a dependency that nobody offers, and a namespace that cannot be imported": (
        "contexts: {users: {}}\npipelines:\n  a:\n"
        "    - eval-lambda: {lambda: 'x: x', dependencies: {u: context.user}, namespace: {n: math.sqirt, k: 3}}\n",
        [
            "site.yaml:4:55: there is no 'context.user' – did you mean 'context.users'?",
            "site.yaml:4:85: the namespace: cannot import 'math.sqirt': "
            "AttributeError: module 'math' has no attribute 'sqirt'",
        ],
    ),
    "what is no exception, and no encoder": (
        "pipelines:\n  a:\n    - raise-exception: {type: os.path}\n    - encode-json: {encoder: os.path}\n",
        [
            "site.yaml:3:7: raise-exception: 'os.path' is no exception – write the full name of an exception",
            "site.yaml:4:7: encode-json: 'os.path' is no JSONEncoder – name a subclass of JSONEncoder",
        ],
    ),
    "values of a wrong type, and out of bounds": (
        "ticks:\n  interval:\n    often: {interval: soon, processor: a}\n"
        "pipelines: {a: [{wait: {delay: [1]}}, {wait: {delay: -1}}]}\n",
        [
            "site.yaml:3:23: option 'interval' of ticks.interval.often must be a number of at least 0 (s), not 'soon'",
            "site.yaml:4:32: option 'delay' of wait must be a number of at least 0 (s), not a list of 1",
            "site.yaml:4:54: option 'delay' of wait must be a number of at least 0 (s), not -1",
        ],
    ),
    "a port that does not exist": (
        "web: {site: {port: 99999, routing: {}}}\n",
        [
            "site.yaml:1:20: 99999 is no port: the highest is 65535 – "
            "write a port, or an endpoint such as tcp:8080 or ssl:443:privateKey=key.pem"
        ],
    ),
    "a missing option": (
        "pipelines:\n  a:\n    - wait\n",
        ["site.yaml:3:7: wait needs the option 'delay' – add it: how long."],
    ),
    "a bracket that is not closed": (
        "pipelines:\n  a: [passthrough\n  b: [passthrough]\n",
        [
            "site.yaml:2:6: the '[' that opens here is not closed, or a comma is missing – "
            "a ',' or ']' is needed before line 3, column 4"
        ],
    ),
    "a tab": (
        "pipelines:\n\ta: [passthrough]\n",
        ["site.yaml:2:1: this line is indented with a tab – indent with blanks: YAML takes no tabs there"],
    ),
    "a file that holds a list": (
        "- a\n",
        [
            "site.yaml:1:1: the file holds a list, not a mapping of names to values – "
            "begin with a name at the left margin, such as 'pipelines:'"
        ],
    ),
    "a Python object": (
        "contexts: {a: !!python/object:os.system x}\n",
        [
            "site.yaml:1:15: !!python/object:os.system is not allowed: a configuration makes no Python objects – "
            "write plain values; where an option asks for a class or function, write its full name as a text"
        ],
    ),
    "a lambda that is no Python": (
        'pipelines:\n  a:\n    - eval-lambda: {lambda: "b: b +"}\n',
        [
            "site.yaml:3:36: option 'lambda' of eval-lambda is no Python: invalid syntax – "
            "write it as 'arguments: expression'"
        ],
    ),
    "code that is no Python": (
        "pipelines:\n  a:\n    - exec-code:\n        code: |\n          x = 1\n          if x\n            return 2\n",
        ["site.yaml:6:15: option 'code' of exec-code is no Python: expected ':'"],
    ),
    "an id that is given twice": (
        "pipelines:\n  a:\n    - passthrough: {id: one}\n    - passthrough: {id: one}\n",
        ["site.yaml:4:25: the id 'one' is given twice in pipeline 'a' (also at site.yaml:3:25) – choose another one"],
    ),
    "a key that is written twice": (
        "pipelines:\n  a: [passthrough]\n  a: [passthrough]\n",
        [
            "site.yaml:3:3: 'a' is written twice in one mapping: first in line 2 – "
            "remove one of the two, or give it another name"
        ],
    ),
    "pipelines that inherit from each other": (
        "pipelines:\n  a:\n    inherits: b\n  b:\n    inherits: a\n",
        [
            "site.yaml:3:15: pipelines are made of each other in a circle: "
            "a (site.yaml:3:15) → b (site.yaml:5:15) → a – "
            "a loop is written inside one pipeline, with 'id' and 'existing'"
        ],
    ),
    "pipelines that run each other": (
        "pipelines:\n  a:\n    - run-pipeline: {pipeline: b}\n  b:\n    - run-pipeline: {pipeline: a}\n",
        [
            "site.yaml:3:32: pipelines run each other in a circle: a (site.yaml:3:32) → b (site.yaml:5:32) → a – "
            "take one of these steps out, or loop inside one pipeline"
        ],
    ),
    "aliases that refer to each other": (
        "a: !alias:b\n  x: 1\nb: !alias:a\n  y: 1\n",
        ["site.yaml:1:4: aliases refer to each other in a circle: b -> a -> b – write values in one of these places"],
    ),
    "an alias of nothing": (
        "contexts: !alias:nix\n",
        ["site.yaml:1:11: !alias:nix refers to nothing: there is no 'nix' in the configuration – there is: contexts"],
    ),
    "an environment variable that is not set": (
        'ticks: {interval: {t: {interval: "${NOT_SET}", processor: a}}}\npipelines: {a: [passthrough]}\n',
        [
            "site.yaml:1:34: the environment variable NOT_SET is not set – "
            "set it, or give a default: ${NOT_SET:-default}"
        ],
    ),
    "a definition that is none": (
        "pipelines:\n  a: 5\n",
        [
            "site.yaml:2:6: pipeline 'a' is 5 – a pipeline is a list of processors, "
            "or a mapping with 'consumers', 'chained_consumers' or 'inherits'"
        ],
    ),
    "an include that cannot be read": (
        {"site.yaml": "includes: [folder]\n", "folder/x.yaml": ""},
        ["site.yaml:1:12: 'folder' cannot be read: is a directory – name a file in it"],
    ),
    "an include that is not there": (
        {"site.yaml": "includes: [usrs.yaml]\n", "users.yaml": ""},
        ["site.yaml:1:12: there is no file 'usrs.yaml' – did you mean 'users.yaml'?"],
    ),
    "a file that is not there": (
        {"sites.yaml": ""},
        ["there is no file 'site.yaml' – did you mean 'sites.yaml'?"],
    ),
    "a bundle that is not installed": (
        "plugins: {bundles: {mine: [no_such_package]}}\n",
        [
            "site.yaml:1:28: there is no package or module 'no_such_package' – "
            "is it installed, or beside the configuration, or in the run directory? These are on sys.path"
        ],
    ),
    "a bundle that is no Python": (
        {"site.yaml": "plugins: {bundles: {mine: [broken_bundle]}}\n", "broken_bundle.py": "def x(:\n"},
        [
            "broken_bundle.py:1:7: cannot be imported: SyntaxError: invalid syntax – "
            "it is imported for the bundle at site.yaml:1:28"
        ],
    ),
    "many mistakes in several files, sorted by place": (
        {
            "site.yaml": "includes: [b.yaml, sub/c.yaml]\npipelines:\n  x: [warte]\n  y: [wait]\n",
            "b.yaml": "pipelines:\n  b: [passtrough]\ncontexst: {}\n",
            "sub/c.yaml": "ticks:\n  interval: {t: {interval: x, processor: pipeline.b}}\n",
        },
        [
            "b.yaml:2:7: unknown processor 'passtrough' – did you mean 'passthrough'?",
            "b.yaml:3:1: unknown section 'contexst' – did you mean 'contexts'?",
            "site.yaml:3:7: unknown processor 'warte' – did you mean 'wait'?",
            "site.yaml:4:7: wait needs the option 'delay' – add it: how long.",
            "sub/c.yaml:2:28: option 'interval' of ticks.interval.t must be a number of at least 0 (s), not 'x'",
        ],
    ),
}

WARNINGS = {
    "a section that nobody reads": (
        "twitter: {a: 1}\n",
        ["site.yaml:1:1: warning: nothing reads the section 'twitter' – remove it, or call it x-… if it is your own"],
    ),
    "a word that YAML takes for a truth value": (
        "contexts: {a: {x: yes}}\n",
        [
            "site.yaml:1:19: warning: 'yes' is read as true – write true if that is meant, "
            "or 'yes', with the quotes, if it is a text"
        ],
    ),
    "a loop of includes": (
        {"site.yaml": "includes: [b.yaml]\n", "b.yaml": "includes: [site.yaml]\n"},
        [
            "b.yaml:1:12: warning: the include of 'site.yaml' closes a loop, which begins at site.yaml:1:12; "
            "it is skipped – remove this include"
        ],
    ),
}


def checked(piped, write, configuration, *options):
    write({"site.yaml": configuration} if isinstance(configuration, str) else configuration)
    return piped("check", *options, "site.yaml", env={"NOT_SET": None})


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_told_exactly(piped, write, what):
    """Every mistake is one line: its place, what is wrong in the user's words, and what to do; never a traceback."""
    configuration, told = MISTAKES[what]
    done = checked(piped, write, configuration)
    assert done.stderr.splitlines() == told
    assert done.exit_code == 78
    count = f"{len(told)} problem{'s' if len(told) > 1 else ''}"
    assert done.stdout.startswith(f"site.yaml: {count}, ")


@pytest.mark.parametrize("what", WARNINGS)
def test_a_warning_stops_nothing_unless_it_is_asked_to(piped, write, what):
    """What may be meant is told as a warning; --strict takes it for a mistake."""
    configuration, told = WARNINGS[what]
    for options, exit_code in ((), 0), (("--strict",), 78):
        done = checked(piped, write, configuration, *options)
        assert (done.stderr.splitlines(), done.exit_code) == (told, exit_code)


def test_a_mistake_on_the_command_line_is_told_with_what_was_typed(piped, write):
    """A value behind -O that does not fit is told like one in a file; the place is the text that was typed."""
    done = checked(piped, write, "pipelines: {a: [{wait: {delay: 1}}]}\n", "-O", "pipelines.a.0.wait.delay:soon")
    assert done.stderr.splitlines() == [
        "-O 'pipelines.a.0.wait.delay:soon':1:26: option 'delay' of wait must be a number of at least 0 (s), not 'soon'"
    ]
    assert done.exit_code == 78
