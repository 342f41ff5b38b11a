"""What a line of a child process costs, and how much memory a million lines take, whatever the pipeline does."""

import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from children import PIPED

LINES = 1_000_000
#: Prints so many lines at once, as a child that is asked for a report does.
TALK = f"print('\\n'.join(f'line number {{n}}' for n in range({LINES})))"
STEPS = f"""
    import resource
    import time

    from twisted.internet.defer import Deferred

    from piped import Processor


    class Measure(Processor):
        name = "measure"

        def configure(self, runtime_environment):
            self.environment, self.seen = runtime_environment, 0

        def process(self, baton):
            self.seen += 1
            if self.seen == 1:
                self.began, self.memory = time.perf_counter(), memory()
            elif self.seen == {LINES}:
                spent = time.perf_counter() - self.began
                print(f"{{1e6 * spent / {LINES}:.2f}} us a line, {{memory() - self.memory:.1f}} MiB more at the most")
                self.environment.ask_for_stop()
            return baton


    class NextTurn(Processor):
        name = "next-turn"

        def configure(self, runtime_environment):
            self.reactor = runtime_environment.reactor

        def process(self, baton):
            waiting = Deferred()
            self.reactor.callFromThread(waiting.callback, baton)
            return waiting


    def memory():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
"""
SITE = """
    plugins: {bundles: {bench: [bench_steps]}}
    processes:
      talk: {executable: PYTHON, args: [talk.py], stdout: {processor: main}}
    pipelines:
      main: [STEPS]
"""


def measured(steps: str) -> str:
    """What a million lines through a pipeline took."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "talk.py").write_text(TALK)
        Path(folder, "bench_steps.py").write_text(textwrap.dedent(STEPS))
        site = Path(folder, "site.yaml")
        site.write_text(textwrap.dedent(SITE).replace("PYTHON", sys.executable).replace("STEPS", steps))
        done = subprocess.run([PIPED, "run", site], cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()


def main() -> None:
    print(f"a pipeline that waits for nothing: {measured('measure')}")
    print(f"one that waits for a turn:         {measured('next-turn, measure')}")


if __name__ == "__main__":
    main()
