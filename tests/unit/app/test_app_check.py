"""`piped check`."""

GOOD = "pipelines: {a: [passthrough], b: [passthrough]}\n"


def test_a_configuration_that_can_run_is_ok(piped, write):
    """One line says so, with the number of pipelines; the exit code is 0."""
    write({"site.yaml": GOOD})
    done = piped("check", "site.yaml")
    assert (done.stdout, done.stderr, done.exit_code) == ("site.yaml: ok, 2 pipelines\n", "", 0)


def test_several_files_are_checked_each_for_itself(piped, write):
    """Each file has its line, in order; one that cannot run is enough for exit code 78."""
    write({"good.yaml": GOOD, "bad.yaml": "pipelines: {a: [nix]}\n", "one.yaml": "pipelines: {a: [passthrough]}\n"})
    done = piped("check", "good.yaml", "bad.yaml", "one.yaml")
    assert done.stdout.splitlines() == [
        "good.yaml: ok, 2 pipelines",
        "bad.yaml: 1 problem, 1 pipeline",
        "one.yaml: ok, 1 pipeline",
    ]
    assert done.exit_code == 78


def test_overrides_are_checked_with_the_file(piped, write):
    """-O mends what a file has wrong, as it would when running."""
    write({"site.yaml": "pipelines: {a: [nix]}\n"})
    assert piped("check", "site.yaml", "-O", "pipelines.a:[passthrough]").exit_code == 0


def test_nothing_is_configured_or_opened(piped, write, tmp_path):
    """Processors are made, so that their constructors can refuse, and nothing else happens."""
    write(
        {
            "site.yaml": "plugins: {bundles: {mine: [careful_bundle]}}\ncareful: {}\npipelines: {a: [careful]}\n",
            "careful_bundle.py": (
                "from pathlib import Path\n"
                "from piped import Processor, provider\n"
                "class Careful(Processor):\n"
                "    name = 'careful'\n"
                "    def __init__(self, **options):\n"
                "        super().__init__(**options)\n"
                "        Path('made').touch()\n"
                "    def configure(self, runtime_environment):\n"
                "        Path('configured').touch()\n"
                "    def process(self, baton):\n"
                "        return baton\n"
                "@provider('careful')\n"
                "class CarefulProvider:\n"
                "    def configure(self, runtime_environment):\n"
                "        Path('provided').touch()\n"
            ),
        }
    )
    assert piped("check", "site.yaml").exit_code == 0
    assert {"made"} == {name for name in ("made", "configured", "provided") if (tmp_path / name).exists()}


def test_a_logging_configuration_is_checked_too(piped, write):
    """The options of `run` can be given to `check`: what -l names is read, and logs nothing."""
    write({"site.yaml": GOOD, "log.yaml": "handlers: }\n", "other.yaml": 'filename: "${NOT_SET}"\n'})
    for file, place in ("log.yaml", "log.yaml:1:11"), ("other.yaml", "other.yaml:1:11"):
        done = piped("check", "site.yaml", "-l", file, env={"NOT_SET": None})
        assert done.exit_code == 78
        assert done.stderr.startswith(f"{place}: ")
