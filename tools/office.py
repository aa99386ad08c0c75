"""The built-in office tools, in the order the model is shown them. Add your own here."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.tools import BaseTool

from services.handlings import Handlings
from services.policy import Policy
from tools.files import list_files, read_file, write_file
from tools.mail import list_mail, read_mail, send_email
from tools.orders import get_order, pay_invoice, place_order
from tools.people_only import delete_records, send_bulk_email
from tools.registry import ToolBox
from tools.results import open_result
from tools.search import search_documents
from tools.web import fetch_url


def toolbox(policy: Policy | None = None, more: Sequence[BaseTool] = (), handlings: Handlings | None = None) -> ToolBox:
    """A new tool box with every built-in tool, and `more` behind them.

    Raises:
        BadSetting: the policy or the handlings do not fit them.
    """
    return ToolBox(
        [
            list_files,
            read_file,
            search_documents,
            list_mail,
            read_mail,
            fetch_url,
            get_order,
            send_email,
            write_file,
            place_order,
            pay_invoice,
            delete_records,
            send_bulk_email,
            open_result,
            *more,
        ],
        policy,
        handlings,
    )
