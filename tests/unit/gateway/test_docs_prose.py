"""How descriptions become HTML."""

from clarion_gateway.docs import prose


def test_a_description_is_escaped_and_its_code_is_marked() -> None:
    assert prose("`a<b` & <script>") == "<code>a&lt;b</code> &amp; &lt;script&gt;"
