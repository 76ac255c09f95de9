from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

import regrow.codec
from regrow.codec import decode, digest_inputs, encode
from regrow.errors import Corrupted, NotStorable, RegrowError

pytestmark = pytest.mark.unit


def again(value):
    return decode(encode(value))


def test_numpy():
    np = pytest.importorskip("numpy")
    arrays = [
        np.arange(12).reshape(3, 4).T,
        np.zeros((0, 3), ">f4"),
        np.array(3.5),
        np.array(["a", "bcd"]),
        np.array(["2020-01-01", "NaT"], "M8[D]"),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8", (1,))]),
        np.array([True]),
    ]
    for array in arrays:
        back = again([array])[0]
        assert type(back) is np.ndarray
        assert back.dtype == array.dtype
        assert back.shape == array.shape
        assert np.array_equal(back, array, equal_nan=array.dtype.kind in "fM")
        assert back.flags.writeable
    for scalar in (np.float64(1.5), np.int8(3), np.str_("x"), np.datetime64("2020-01-01"), np.bool_(True)):
        back = again(scalar)
        assert back == scalar
        assert type(back) is type(scalar)
    with pytest.raises(NotStorable, match="Python objects"):
        encode(np.array([object()]))
    with pytest.raises(NotStorable):
        encode(np.ma.array([1]))


def test_a_stored_array_cannot_ask_for_memory_or_hold_pointers():
    pytest.importorskip("numpy")
    for payload in (
        ["<f8", [2**60], b""],
        ["<f8", [-1], b""],
        ["|O", [1], b"12345678"],
        ["<f8", [1], "x"],
        ["|O8", [1], b"12345678"],
    ):
        data = b"\x01" + msgspec.msgpack.encode(msgspec.msgpack.Ext(80, msgspec.msgpack.encode(payload)))
        with pytest.raises(Corrupted):
            decode(data)


def test_arrow():
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": [1, None], "b": ["x", "y"], "c": [[1], [2, 3]]})
    for value in (
        table,
        table.to_batches()[0],
        table.column("a"),
        table.column("c").chunk(0),
        pa.array([]),
        table.slice(0, 0),
    ):
        back = again(value)
        assert back.equals(value)
        assert type(back) is type(value)
    sliced = pa.table({"a": [0, 1, 2]}).slice(1)
    assert again(sliced).equals(sliced)
    chunked = pa.concat_tables([table, table])
    one, other = (digest_inputs([t], allow_opaque=False).digest for t in (chunked, chunked.combine_chunks()))
    assert one == other


def test_pandas():
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": pd.Categorical(["u", "v"])}, index=["p", "q"])
    pd.testing.assert_frame_equal(again(frame), frame)
    pd.testing.assert_frame_equal(again(pd.DataFrame({0: [1], 1: ["x"]})), pd.DataFrame({0: [1], 1: ["x"]}))
    series = pd.Series([1.5, None], name=("n", 1))
    pd.testing.assert_series_equal(again(series), series)
    for index in (
        pd.RangeIndex(3),
        pd.date_range("2020", periods=2, tz="UTC"),
        pd.MultiIndex.from_tuples([(1, "a"), (2, "b")]),
    ):
        pd.testing.assert_index_equal(again(index), index, check_freq=False)
    with pytest.raises(NotStorable, match=r"result\[0\]: its column 'x' has dtype object"):
        encode([pd.DataFrame({"x": [1, "a"]})])
    with pytest.raises(NotStorable, match="column names are of several types"):
        encode(pd.DataFrame({"x": [1], 1: [2]}))


def test_polars():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": [1, None], "b": ["x", "y"], "c": [[1], []]})
    assert again(frame).equals(frame)
    assert again(frame["b"]).equals(frame["b"])
    assert again(frame["b"]).name == "b"
    with pytest.raises(NotStorable):
        encode(frame.lazy())


@pytest.mark.parametrize("code", range(80, 100))
def test_damaged_tables_raise_only_regrows_errors(code):
    for payload in (b"", b"\x00" * 40, None, ["n", b"x"], [["a", "b"], [1], b""]):
        with pytest.raises(RegrowError):
            decode(b"\x01" + msgspec.msgpack.encode(msgspec.msgpack.Ext(code, msgspec.msgpack.encode(payload))))


def test_damaged_frames_raise_only_regrows_errors():
    pl = pytest.importorskip("polars")
    data = encode(pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
    for i in range(3, len(data)):
        with suppress(RegrowError):
            decode(data[:i] + bytes([data[i] ^ 0xFF]) + data[i + 1 :])


def test_nothing_heavy_is_imported_unasked():
    src = str(Path(regrow.codec.__file__).parents[2])
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from regrow.codec import *; encode({'a': (1,)});"
        "print([m for m in ('numpy', 'pandas', 'polars', 'pyarrow', 'pydantic') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code, src], capture_output=True, text=True, check=True).stdout == "[]\n"
    )
