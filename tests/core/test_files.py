"""Text and CSV files."""

from atc_asr.core import files


def test_write_csv_quotes_cells(tmp_path):
    files.write_csv(tmp_path / "a.csv", ["id", "text"], [[1, "a,b"], (2, 'say "x"')])
    assert (tmp_path / "a.csv").read_bytes() == b'id,text\n1,"a,b"\n2,"say ""x"""\n'
