"""Texts in the language of Graphviz."""


def quoted(text: str) -> str:
    r"""A text between quotes; a backslash begins an escape there, and a line ends with `\n`.

    Example:
        >>> print(quoted('say "hello"'))
        "say \"hello\""
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "").replace("\n", "\\n")
    return f'"{escaped}"'
