from clarion_testing.browser import browser
from clarion_testing.sandbox import sandbox

__all__ = ["browser", "sandbox"]
