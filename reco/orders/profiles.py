"""Source profiles: what a shop says about its export, as one small TOML file.

Belongs here: the fields of a profile, their bounds, and reading one by name or from a file. Does not belong here:
looking at order files, which may only fill in what a profile leaves unsaid (`reco.orders.headers` and
`reco.orders.dialect`).
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from reco.errors import ProfileError
from reco.settings import known_timezone

SAMPLE = "sample"
"""The source of the generated sample; a shop's first real drop takes it out."""

MAX_LINE_BYTES = 16 * 2**20
"""The largest `max_line_bytes` a profile may ask for: the block in which files are scanned."""


EXCEL, EPOCH_SECONDS, EPOCH_MILLISECONDS = "excel", "epoch_seconds", "epoch_milliseconds"
DAY_FIRST, MONTH_FIRST = "day_first", "month_first"
NAMED_FORMATS = (DAY_FIRST, MONTH_FIRST, EXCEL, EPOCH_SECONDS, EPOCH_MILLISECONDS)
"""Formats of a time beyond strptime; the first two say how `1/2/2010` is meant, whatever clock follows."""
_TIME_CODES = set("aAbBdDfgGHIjmMnpSuUVwWxXyYzZ%")


def toml_value(value: str | list[str] | tuple[str, ...]) -> str:
    """A text, or a list of texts, as TOML writes it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return "[" + ", ".join(toml_value(one) for one in value) + "]"


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


ColumnName = Annotated[str, Field(min_length=1)]
ColumnNames = Annotated[tuple[ColumnName, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
"""One column, or several whose values are joined."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TimeColumn(_Part):
    """Where the time of an order stands; several columns (date, time) are joined with a blank.

    `format` is for what detection cannot know: in the codes of strptime (`%d/%m/%Y %H:%M`), or one of `NAMED_FORMATS`.
    """

    column: ColumnNames
    format: str | None = Field(default=None, min_length=2)

    @field_validator("format")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is None or value in NAMED_FORMATS:
            return value
        codes = [code.lstrip("-") for code in re.findall(r"%(-?.?)", value)]
        if not codes or not set(codes) <= _TIME_CODES:
            raise ValueError(f"{value!r} is no format such as '%d/%m/%Y %H:%M', and none of {', '.join(NAMED_FORMATS)}")
        return value


def _as_time_column(value: Any) -> Any:
    return {"column": value} if isinstance(value, str | list | tuple) else value


class Columns(_Part):
    """Header names by meaning. A profile that names no order id or no item has the rest recognised from usual names."""

    order_id: ColumnNames | None = None
    item_id: ColumnName | None = None
    item_name: ColumnName | None = None
    quantity: ColumnName | None = None
    unit_price: ColumnName | None = None
    line_total: ColumnName | None = None
    customer_id: ColumnName | None = None
    category: ColumnName | None = None
    ordered_at: Annotated[TimeColumn | None, BeforeValidator(_as_time_column)] = None

    @property
    def complete(self) -> bool:
        """Whether an order line can be made of the named columns alone."""
        return self.order_id is not None and (self.item_id or self.item_name) is not None

    def named(self) -> dict[str, tuple[str, ...]]:
        """The named columns: header names by canonical column."""
        found: dict[str, tuple[str, ...]] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value is not None:
                found[name] = value.column if isinstance(value, TimeColumn) else _as_tuple(value)
        return found


class ItemsSpec(_Part):
    """The columns of the shop's catalogue, and where its file lies if it is to come with every drop of orders."""

    file: Path | None = None
    id: ColumnName
    name: ColumnName | None = None
    category: ColumnName | None = None
    price: ColumnName | None = None
    in_stock: ColumnName | None = None
    url: ColumnName | None = None


class DialectSpec(_Part):
    """What detection gets wrong about the text: None leaves it to detection."""

    encoding: str | None = None
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    quote: str | None = Field(default=None, max_length=1, description='"" for files that know no quotes.')
    decimal: Literal[".", ","] | None = None
    header: bool = True
    names: tuple[str, ...] = ()

    @field_validator("delimiter", "quote")
    @classmethod
    def _ascii(cls, value: str | None) -> str | None:
        if value and (not value.isascii() or value in "\r\n\0"):
            raise ValueError("must be one ASCII character and no line end")
        return value

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is None or value.lower().replace("_", "-") in _UNICODE:
            return value
        try:
            single_byte = len(bytes(range(256)).decode(value, "replace")) == 256
        except LookupError:
            raise ValueError(f"{value!r} is not an encoding Python knows") from None
        if not single_byte:
            raise ValueError(f"{value!r} is not supported: UTF-8, UTF-16 and single-byte encodings are")
        return value

    @model_validator(mode="after")
    def _names_without_header(self) -> Self:
        if self.header == bool(self.names):
            raise ValueError("header = false needs names = [...], one a column, and names need header = false")
        if self.delimiter is not None and self.delimiter == self.quote:
            raise ValueError("delimiter and quote are the same character")
        return self


_UNICODE = {"utf-8", "utf8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"}


class Cancelled(_Part):
    """Lines whose `column` starts with `prefix` are cancellations, and left out.

    Where the line names the order it cancels lines of, in a column of its own (`order`) or behind the prefix
    (`order_after_prefix`), it takes their units back instead.
    """

    column: ColumnName
    prefix: str = Field(min_length=1)
    order: ColumnName | None = None
    order_after_prefix: bool = False

    @property
    def names_order(self) -> bool:
        """Whether a cancellation may name its order."""
        return self.order is not None or self.order_after_prefix

    @model_validator(mode="after")
    def _one_reference(self) -> Self:
        if self.order is not None and self.order_after_prefix:
            raise ValueError("order and order_after_prefix are two ways to name the cancelled order: give one")
        return self


class ExcludedStatus(_Part):
    """Lines whose `column` holds one of `values`, in any case, are left out.

    With `whole_order` so is every other line of such an order in the batch, for exports that write the status on an
    order's first line only. With `if_present` a file without the column is read, and none of its lines left out.
    """

    column: ColumnName
    values: tuple[str, ...] = Field(min_length=1)
    whole_order: bool = False
    if_present: bool = False


class Rules(_Part):
    """What the shop leaves out on purpose, and how it writes ids."""

    duplicates: Literal["keep", "exclude"] = "keep"
    cancelled: Cancelled | None = None
    excluded_status: ExcludedStatus | None = None
    exclude_items: tuple[str, ...] = ()
    strip_decimal: tuple[ColumnName, ...] = ()
    returns: Literal["quarantine", "net"] = "quarantine"
    merge_items: tuple[Literal["case", "spaces", "unicode"], ...] = ()
    max_lines_per_order: int = Field(default=0, ge=0)
    max_line_bytes: int = Field(default=2**20, ge=1024, le=MAX_LINE_BYTES)

    @property
    def judges_orders(self) -> bool:
        """Whether an order may be left out for what other lines of it say."""
        return bool(self.max_lines_per_order or (self.excluded_status and self.excluded_status.whole_order))

    @property
    def of_batch(self) -> bool:
        """Whether a line may be left out for what other lines of its batch say."""
        return self.duplicates == "exclude" or self.judges_orders

    @property
    def takes_back(self) -> bool:
        """Whether an accepted line may take units of its order back."""
        return self.returns == "net" or bool(self.cancelled and self.cancelled.names_order)


class Privacy(_Part):
    """What is kept of the people behind the orders: with `pseudonymise`, no customer id as the shop writes it."""

    pseudonymise: bool = False


class SourceProfile(_Part):
    """Everything a shop says about its order files."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    timezone: str = "UTC"
    currency: str | None = Field(default=None, pattern=r"^[A-Z]{3}$")
    columns: Columns = Columns()
    items: ItemsSpec | None = None
    dialect: DialectSpec = DialectSpec()
    rules: Rules = Rules()
    privacy: Privacy = Privacy()

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        return known_timezone(value)

    def to_json(self) -> dict[str, Any]:
        """The profile as plain JSON values, for the ledger; what is left at its default is left out."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The profile that `to_json` wrote.

        Raises:
            ProfileError: it is none, or of a version with other fields.
        """
        return cls.checked(value, "the ledger")

    @property
    def digest(self) -> str:
        """The sha256 of the profile's content, in hex: equal digests read a file the same way."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    @classmethod
    def checked(cls, value: Mapping[str, Any], where: str) -> Self:
        """The profile of these values; `where` names their place in the message of a `ProfileError`."""
        try:
            return cls.model_validate(dict(value))
        except ValidationError as error:
            problems = [(".".join(map(str, e["loc"])) or "profile", e["msg"]) for e in error.errors()]
            raise ProfileError(
                f"The source profile in {where} is not valid: " + "; ".join(f"{f}: {m}" for f, m in problems) + ".",
                hint="Correct the named fields; docs/profiles has examples.",
                file=where,
                fields=[field for field, _ in problems],
            ) from None


def builtin_profiles() -> tuple[str, ...]:
    """The names of the profiles that come with the project, sorted."""
    folder = resources.files("reco.orders") / "builtin"
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


def load_profile(name_or_path: str | Path) -> SourceProfile:
    """A built-in profile by name, or one from a TOML file.

    `items.file` is taken relative to the TOML file's folder.

    Raises:
        ProfileError: there is no such profile, or the file is not one; the message names file and field.
    """
    given = str(name_or_path)
    if given in builtin_profiles():
        return _builtin(given)
    path = Path(given).expanduser()
    if path.suffix != ".toml" and not path.is_file():
        raise ProfileError(
            f"There is no source profile {given!r}.",
            hint=f"Built in are {', '.join(builtin_profiles())}; or give a TOML file.",
            profile=given,
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ProfileError(
            f"The source profile {path} cannot be read: {reason}.", hint="Check the path given.", file=str(path)
        ) from error
    return _parse(text, str(path), path.resolve().parent)


@cache
def _builtin(name: str) -> SourceProfile:
    text = (resources.files("reco.orders") / "builtin" / f"{name}.toml").read_text(encoding="utf-8")
    return _parse(text, f"{name}.toml", None)


def _parse(text: str, where: str, folder: Path | None) -> SourceProfile:
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(
            f"The source profile {where} is not TOML: {error}.", hint="Correct the line it names.", file=where
        ) from error
    profile = SourceProfile.checked(value, where)
    if profile.items is None or profile.items.file is None or folder is None:
        return profile
    items = profile.items.model_copy(update={"file": folder / profile.items.file})
    return profile.model_copy(update={"items": items})
