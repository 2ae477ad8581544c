import json
from pathlib import Path

import pytest

from reco.errors import DropUnmapped, ProfileError
from reco.orders.headers import USUAL_NAMES, map_header, plain_name
from reco.orders.profiles import SourceProfile, builtin_profiles, load_profile

EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "profiles").glob("*.toml"))

HEADERS = {
    "uci": (
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
        {
            "order_id": "InvoiceNo",
            "item_id": "StockCode",
            "item_name": "Description",
            "quantity": "Quantity",
            "unit_price": "UnitPrice",
            "customer_id": "CustomerID",
            "ordered_at": "InvoiceDate",
        },
    ),
    "groceries": ("transaction,item,level2,level1", {"order_id": "transaction", "item_name": "item"}),
    "breadbasket": (
        "Date,Time,Transaction,Item",
        {"order_id": "Transaction", "item_name": "Item", "ordered_at": ["Date", "Time"]},
    ),
    "chipotle": (
        "order_id,quantity,item_name,choice_description,item_price",
        {"order_id": "order_id", "item_name": "item_name", "quantity": "quantity", "unit_price": "item_price"},
    ),
    "complete journey": (
        "household_id,store_id,basket_id,product_id,quantity,sales_value,retail_disc,transaction_timestamp",
        {
            "order_id": "basket_id",
            "item_id": "product_id",
            "quantity": "quantity",
            "line_total": "sales_value",
            "customer_id": "household_id",
            "ordered_at": "transaction_timestamp",
        },
    ),
    "instacart": ("order_id,product_id,add_to_cart_order,reordered", {"order_id": "order_id", "item_id": "product_id"}),
}


@pytest.mark.parametrize("name", builtin_profiles())
def test_builtin_profiles_load_and_survive_the_ledger(name: str) -> None:
    """Each built-in profile loads, is named as its file, and is equal after the ledger kept it as JSON."""
    profile = load_profile(name)
    again = SourceProfile.from_json(json.loads(json.dumps(profile.to_json())))
    assert profile.name == name
    assert again == profile
    assert again.digest == profile.digest


def test_builtin_profiles_are_the_five() -> None:
    """The built-in profiles are those of the contract."""
    assert builtin_profiles() == ("auto", "prototype", "shopify", "uci-online-retail", "woocommerce")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_profiles_load(path: Path) -> None:
    """Each example in the documents is a valid profile named as its file."""
    assert load_profile(path).name == path.stem


def test_there_are_examples() -> None:
    """The documents have the example profiles."""
    assert [path.stem for path in EXAMPLES] == ["breadbasket", "chipotle", "complete-journey", "groceries", "instacart"]


@pytest.mark.parametrize("case", HEADERS)
def test_usual_headers_are_recognised(case: str) -> None:
    """`auto` finds the columns of common exports, whatever case, blanks or underscores their names have."""
    header, expected = HEADERS[case]
    names = header.split(",")
    assert map_header(names, load_profile("auto"), "a file").named(names) == expected
    loud = [name.replace("_", " ").upper() for name in names]
    found = map_header(loud, load_profile("auto"), "a file").named(loud)
    assert list(found) == [name for name in USUAL_NAMES if name in expected]


def test_usual_names_are_plain_and_stand_for_one_column() -> None:
    """A name of the table is written as it is compared, and no name means two columns."""
    names = [name for row in USUAL_NAMES.values() for name in row]
    assert [plain_name(name) for name in names] == names
    assert len(set(names)) == len(names)


def test_a_profile_without_an_item_has_the_rest_recognised() -> None:
    """Naming one column only, such as the time with its format, leaves the others to recognition."""
    profile = SourceProfile.checked(
        {"name": "p", "columns": {"ordered_at": {"column": "When", "format": "%d/%m/%Y"}}}, ""
    )
    header = ["order_id", "item", "when"]
    assert map_header(header, profile, "f").named(header)["ordered_at"] == "when"


def test_a_column_named_twice_is_an_error() -> None:
    """A profile's column that stands twice in the header is not chosen at random."""
    with pytest.raises(DropUnmapped, match="more than one column 'item_name'"):
        map_header(["order_id", "ITEM_NAME", "Item Name"], load_profile("prototype"), "f")
    assert map_header(["order_id", "item_name", "item_name2"], load_profile("prototype"), "f").columns["item_name"] == (
        1,
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = 'x'\n[columns]\norder = 'a'", "columns.order"),
        ("name = 'x'\ntimezone = 'Mars/Base'", "timezone"),
        ("[columns]\norder_id = 'a'", "name"),
        ("name = 'x'\n[dialect]\nheader = false", "dialect"),
        ("name = 'x'\n[dialect]\nencoding = 'shift_jis'", "dialect.encoding"),
        ("name = 'x'\n[dialect]\nencoding = 'martian'", "dialect.encoding"),
        ("name = 'x'\n[dialect]\ndelimiter = 'é'", "dialect.delimiter"),
        ("name = 'x'\n[dialect]\ndelimiter = '|'\nquote = '|'", "dialect"),
        ("name = 'x'\n[rules]\nmax_line_bytes = 99999999", "rules.max_line_bytes"),
        ("name = ", "not TOML"),
    ],
)
def test_a_wrong_profile_names_file_and_field(text: str, words: str, tmp_path: Path) -> None:
    """What is wrong with a profile is told with its file and field, and a next step."""
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ProfileError) as caught:
        load_profile(path)
    assert "mine.toml" in caught.value.message
    assert words in caught.value.message
    assert caught.value.hint


def test_unknown_and_unreadable_profiles_are_told_apart(tmp_path: Path) -> None:
    """A name that is none lists the built-in ones; a file that is not there or not text is named."""
    with pytest.raises(ProfileError, match="uci-online-retail"):
        load_profile("uci")
    with pytest.raises(ProfileError, match=r"gone\.toml cannot be read"):
        load_profile(tmp_path / "gone.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProfileError, match="not UTF-8"):
        load_profile(tmp_path / "binary.toml")


def test_the_item_file_lies_beside_its_profile(tmp_path: Path) -> None:
    """A relative items.file is taken from the profile's folder; without a file [items] only names columns."""
    (tmp_path / "p.toml").write_text('name = "p"\n[items]\nfile = "items.csv"\nid = "ID"\nname = "title"\n')
    spec = load_profile(tmp_path / "p.toml").items
    assert spec is not None
    assert spec.file == tmp_path / "items.csv"
    (tmp_path / "q.toml").write_text('name = "q"\n[items]\nid = "ID"\nprice = "cost"\n')
    spec = load_profile(tmp_path / "q.toml").items
    assert spec is not None
    assert (spec.file, spec.price) == (None, "cost")
