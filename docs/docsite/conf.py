"""Configuration of Sphinx. `docsite.build` lays out the sources before it is read."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from kaon_wire.version import VERSION

project = "Kaon"
author = "The Kaon maintainers"
release = version = VERSION
# Parses pages, and executes notebooks as the site is built: against the coordinator that KAON_SERVER names.
extensions = ["myst_nb"]
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 180
html_theme = "furo"
html_title = f"Kaon {VERSION}"
html_css_files = ["site.css"]
# The colours and fonts of the web console.
_FONTS = {
    "font-stack": "Inter, system-ui, -apple-system, 'Segoe UI', sans-serif",
    "font-stack--monospace": "'JetBrains Mono', ui-monospace, 'SF Mono', Menlo, Consolas, monospace",
}
html_theme_options = {
    "light_css_variables": _FONTS
    | {"color-brand-primary": "#4f4fc9", "color-brand-content": "#4f4fc9"},
    "dark_css_variables": _FONTS
    | {"color-brand-primary": "#8f8ff5", "color-brand-content": "#a5a5ff"},
}
html_copy_source = False
html_show_sphinx = False
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
# Diagrams are drawn by the reader's browser, from a copy of Mermaid that is part of the site.
myst_fence_as_directive = ["mermaid"]
html_js_files = ["mermaid.min.js", "diagrams.js"]
# Texts of examples are no valid programs of the language that they name.
suppress_warnings = ["misc.highlighting_failure"]
add_module_names = False
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 90


class Mermaid(Directive):  # type: ignore[misc]
    """A diagram in Mermaid's language."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Gives the diagram's text to the script in the page."""
        text = nodes.Text("\n".join(self.content)).astext()
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return [nodes.raw("", f'<pre class="mermaid">{escaped}</pre>', format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Makes the directive known."""
    app.add_directive("mermaid", Mermaid)
    return {"parallel_read_safe": True}
