"""Results made comparable between two loops: exceptions become words, addresses disappear."""

import re

ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
TASK = re.compile(r"Task-\d+")
MAKER = re.compile(r" created at \S+?(?=>|$| )")
LINE = re.compile(r"(\.py[\"']?(?:, line |:))\d+")


def plain(value: object) -> object:
    """Return ``value`` in a form that is equal for equal behaviour."""
    if isinstance(value, BaseException):
        return type(value).__name__, plain(value.args)
    if isinstance(value, str):
        value = MAKER.sub(" created at F:N", value)
        return TASK.sub("Task-N", LINE.sub(r"\1N", ADDRESS.sub("0x", value)))
    if isinstance(value, dict):
        return {plain(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(entry) for entry in value), key=repr)
    if value is None or isinstance(value, (int, float, bytes)):
        return value
    return plain(repr(value))


def words(context: dict[str, object]) -> object:
    """Return an exception handler's context as its keys, its message and its exception."""
    return sorted(context), plain(str(context.get("message"))), plain(context.get("exception"))
