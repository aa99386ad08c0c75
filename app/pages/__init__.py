"""The pages under `/inbox`: one file a page, its template beside it."""
