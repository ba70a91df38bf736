import pytest

from clarion_testing.sandbox import RunningSandbox, sandbox
from clarion_testing.sandbox_requests import Sender

__all__ = ["sandbox"]


@pytest.fixture
def send(sandbox: RunningSandbox) -> Sender:
    return Sender(sandbox)
