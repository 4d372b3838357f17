"""Every message refuses what cannot be: NaN, infinities, sizes out of range, empty identifiers, unknown fields."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from schemas import Message, SliceClosed
from schemas.message import AvroType
from tests.unit.schemas.example_messages import example, example_values, models

NAN, INF = float("nan"), float("inf")
MAY_BE_NEGATIVE = {
    "OrderDenied": {"limit", "value"},
    "Position": {"quantity", "unrealised_pnl"},
    "PositionsUpdated": {"cash", "equity", "deposits", "realised_pnl", "unrealised_pnl", "interest", "dividends"},
    "RiskAssessed": {"sharpe_ratio"},
    "Signal": {"score", "target_weight", "target_quantity"},
}
MAY_BE_EMPTY = {"reason", "start", "end", "account_id", "state", "error", "description"}
"""Free text, optional dates; account_id of StartStrategy alone."""


def carried(model: type[Message], name: str) -> Any:
    return next((mark.schema for mark in model.model_fields[name].metadata if isinstance(mark, AvroType)), None)


def fields(*wanted: type) -> Iterator[Any]:
    for model in models():
        for name, field in model.model_fields.items():
            if carried(model, name) is None and field.annotation in (*wanted, *(kind | None for kind in wanted)):
                yield pytest.param(model, name, id=f"{model.__name__}.{name}")


def refused(model: type[Message], name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as raised:
        model(**{**example_values(model), name: value})
    assert (name,) in {problem["loc"][:1] for problem in raised.value.errors()}


@pytest.mark.parametrize(("model", "name"), list(fields(float)))
def test_a_number_is_finite_and_negative_only_where_that_has_a_meaning(model: type[Message], name: str) -> None:
    for value in (NAN, INF, -INF, "NaN", "Infinity", None if model.model_fields[name].annotation is float else NAN):
        refused(model, name, value)
    if name in MAY_BE_NEGATIVE.get(model.__name__, ()):
        assert getattr(model(**{**example_values(model), name: -1.5}), name) == -1.5
    else:
        refused(model, name, -1e-9)


@pytest.mark.parametrize(("model", "name"), list(fields(int)))
def test_a_count_or_time_is_not_negative_and_fits_an_avro_long(model: type[Message], name: str) -> None:
    for value in (-1, 2**63, 0.5, NAN):
        refused(model, name, value)


@pytest.mark.parametrize(("model", "name"), list(fields(str)))
def test_an_identifier_is_not_empty(model: type[Message], name: str) -> None:
    free = name in MAY_BE_EMPTY and (name != "account_id" or model.__name__ == "StartStrategy")
    if free:
        assert getattr(model(**{**example_values(model), name: ""}), name) == ""
    else:
        refused(model, name, "")
    refused(model, name, None)


@pytest.mark.parametrize("value", ["AAPL", "aapl.", ".XNAS", "A PL.XNAS", "AAPL.xnas", "A" * 61 + ".XNAS", "A.X\n"])
def test_an_instrument_is_named_symbol_dot_venue(value: str) -> None:
    for model in models():
        if "instrument_id" in model.model_fields:
            refused(model, "instrument_id", value)


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_a_message_is_frozen_and_knows_its_fields(model: type[Message]) -> None:
    message = example(model)
    for name in model.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(message, name, getattr(message, name))
    refused(model, "unheard_of", 1)
    for name, field in model.model_fields.items():
        if field.is_required():
            with pytest.raises(ValidationError, match="Field required"):
                model(**{key: value for key, value in example_values(model).items() if key != name})


DEEP = json.loads("[" * 110 + "]" * 110)
"""What is read with few calls on the stack overflows it when it is written with many."""


@pytest.mark.parametrize(
    "value",
    [
        "[1]",
        "not json",
        '{"a": NaN}',
        '{"a": "half of a pair: \\ud800"}',
        json.dumps({"a": DEEP}),
        {"a": DEEP},
        {"a": "\udfff"},
        {"a": NAN},
        {"a": [INF]},
        {"a": object()},
        None,
        5,
    ],
)
def test_free_parameters_are_a_json_object(value: Any) -> None:
    seen = 0
    for model in models():
        for name in model.model_fields:
            if carried(model, name) == "string":
                refused(model, name, value)
                seen += 1
    assert seen > 5


@pytest.mark.parametrize("name", ["OrderProposed", "SubmitOrder"])
def test_a_limit_order_has_a_limit_and_a_market_order_none(name: str) -> None:
    model = next(model for model in models() if model.__name__ == name)
    for order_type, limit in (("LIMIT", None), ("MARKET", 10.0)):
        with pytest.raises(ValidationError, match="a LIMIT order has a limit_price, a MARKET order has none"):
            model(**{**example_values(model), "order_type": order_type, "limit_price": limit, "stop_price": None})


@pytest.mark.parametrize("name", ["OrderProposed", "SubmitOrder"])
def test_a_stop_order_has_a_stop_and_no_other_has_one(name: str) -> None:
    model = next(model for model in models() if model.__name__ == name)
    for order_type, stop in (("STOP", None), ("MARKET", 10.0)):
        with pytest.raises(ValidationError, match="a STOP order has a stop_price, a MARKET or LIMIT order none"):
            model(**{**example_values(model), "order_type": order_type, "limit_price": None, "stop_price": stop})
    both = model(**{**example_values(model), "order_type": "STOP_LIMIT", "limit_price": 9.0, "stop_price": 10.0})
    assert (both.limit_price, both.stop_price) == (9.0, 10.0)  # type: ignore[attr-defined]


def test_of_many_wrong_values_in_a_field_the_first_is_told() -> None:
    """Each error that is kept costs a kilobyte, and a record of a megabyte may hold a million."""
    with pytest.raises(ValidationError) as refused:
        SliceClosed.model_validate(example_values(SliceClosed) | {"runs": ("",) * 1000})
    assert refused.value.error_count() == 1
