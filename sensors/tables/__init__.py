"""CSV files of any length as arrays, without a database."""
