"""How a parameter in a path is understood.

Belongs here: converters of path parameters. Does not belong here: the routes that use them (`routes`).
"""

from starlette.convertors import Convertor, register_url_convertor


class _AnyText(Convertor[str]):
    """The rest of a path, whatever it holds: a name may have slashes, and even line breaks."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """The text itself; it is decoded already."""
        return value

    def to_string(self, value: str) -> str:
        """The text itself."""
        return value


def register() -> None:
    """Makes `{name:anytext}` known to Starlette; once is enough."""
    register_url_convertor("anytext", _AnyText())
