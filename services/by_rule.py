"""Roles whose answer follows from a text by a rule, for models that are rules themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from langchain_core.messages import AIMessage, BaseMessage

from graph.models import Role
from services.extraction import extracted_by_lines
from services.request_reading import read_by_words

RULES: Mapping[Role, Callable[[Sequence[BaseMessage]], AIMessage]] = {
    "reader": read_by_words,
    "extractor": extracted_by_lines,
}
