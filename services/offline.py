"""placeholder until written below"""
from langchain_core.language_models.fake_chat_models import FakeListChatModel
class OfflineModel(FakeListChatModel):
    responses: list[str] = ["x"]
