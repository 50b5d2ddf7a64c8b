"""Datasets on disk: `store` writes and reads them, `validate` lists their errors."""
