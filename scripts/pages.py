"""Pages with commands, as tests and benchmarks type them: the commands, what is shown of their output, the files.

Belongs here: reading a page. Does not belong here: running anything, or what a page promises.
"""

import re
from dataclasses import dataclass
from textwrap import dedent

_FENCE = re.compile(
    r'^(?P<indent> *)```(?P<kind>console|toml)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^(?P=indent)```$',
    re.MULTILINE | re.DOTALL,
)
_COMMAND = re.compile(r"^\$ (.*)\n", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """One thing that the reader does.

    Attributes:
        section: heading of level two above it.
        command: what is typed; empty where a file is written instead.
        shown: the output on the page, `...` standing for anything.
        file: name of the file to write; `shown` is then its text.
        terminal: the title of a terminal of its own, in which the command goes on until its section ends.
    """

    section: str
    command: str
    shown: str
    file: str = ""
    terminal: str = ""


def steps(page: str) -> list[Step]:
    """The steps of a page, in its order."""
    found = []
    for part in re.split(r"^## ", page, flags=re.MULTILINE):
        section = part.partition("\n")[0].strip()
        for fence in _FENCE.finditer(part):
            text = dedent(fence["text"])
            if fence["kind"] == "console":
                found += [
                    Step(section, command, shown, terminal=fence["title"] or "") for command, shown in commands(text)
                ]
            elif fence["title"]:
                found.append(Step(section, "", text, file=fence["title"]))
    return found


def commands(block: str) -> list[tuple[str, str]]:
    """The commands of a block, each with what is shown of its output."""
    parts = _COMMAND.split(block)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def fits(shown: str, output: str) -> bool:
    """Whether an output is the one shown; how wide the columns of a table are is not looked at."""
    told, wanted = (
        "\n".join(" ".join(line.split()) for line in re.sub("─+", "─", text).strip().splitlines())
        for text in (output, shown)
    )
    pattern = ".*".join(re.escape(part) for part in re.sub(r"^\.\.\.$", "\0", wanted, flags=re.MULTILINE).split("\0"))
    return re.fullmatch(pattern.replace(re.escape("..."), ".*"), told, re.DOTALL) is not None
