"""What `piped check` costs by the size of the configuration: 100 to 1,000 pipelines of 10 steps."""

import tempfile
from itertools import pairwise
from pathlib import Path

from children import cpu_seconds

STEPS = """\
    - set-value: {path: a, value: 1}
    - set-value:
        path: b
        value: [1, 2, 3]
    - eval-lambda:
        input_path: a
        output_path: c
        lambda: "a: a + 1"
    - remap: {mapping: {c: d}}
    - passthrough
    - increment-counter: {counter_path: d}
    - format-string: {format: "{a} {d}", input_path: "", output_path: text}
    - lambda-decider: {lambda: "baton: 0"}
    - log: {message_path: text, level: debug}
    - passthrough
"""


def configuration(pipelines: int) -> str:
    return "pipelines:\n" + "".join(f"  p{number}:\n{STEPS}" for number in range(pipelines))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        sizes = (1, 100, 400, 700, 1000)
        found = {}
        for size in sizes:
            file = Path(folder, f"{size}.yaml")
            file.write_text(configuration(size))
            found[size] = cpu_seconds("check", file, times=7)
        for before, size in pairwise(sizes):
            further = (found[size] - found[before]) / (size - before) / 10 * 1e6
            bar = "  (bar: under 3 s)" if size == 1000 else ""
            print(f"{size:5} pipelines of 10 steps: {found[size]:.2f} s CPU, {further:3.0f} us each further step{bar}")
        print("linear, if each further step costs the same")


if __name__ == "__main__":
    main()
