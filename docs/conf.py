"""Sphinx settings. `make docs` builds the pages into `build/docs`; every warning is an error."""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "spikeloom"
author = "The spikeloom developers"
copyright = "2026, The spikeloom developers"
release = version = metadata.version("spikeloom")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx-mathjax-offline",
    "generated_pages",
]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
templates_path: list[str] = []
nitpicky = False
smartquotes_action = "D"  # dashes only: curly quotes could not be copied into a command

# --- Markdown and code cells ---------------------------------------------------------------------------------------
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_timeout = 900  # seconds of one cell; a busy machine may share its cores
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove"  # progress lines and warnings of libraries
nb_execution_in_temp = True

# --- Python API ----------------------------------------------------------------------------------------------------
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "description"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
default_role = "code"  # words in backquotes, also in docstrings
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Source", "notes_style")]
suppress_warnings = ["myst.header", "autodoc.import_object.duplicate"]

# --- HTML ----------------------------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "spikeloom"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
}
