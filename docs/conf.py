"""The documentation site: `make docs`.

The source folder is the root of the repository, so that the links between docs/,
experiments/ and the source are the same on the site and in a browser of the files.
"""

import re

import autodrop_optax

project = "autodrop_optax"
author = "The autodrop_optax authors"
copyright = author
version = release = autodrop_optax.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx-mathjax-offline",
]
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "docs/*.rst",
    "experiments/README.md",
    "experiments/studies/convex/README.md",
    "experiments/schedules/README.md",
    "experiments/studies/README.md",
    "experiments/theory/*.md",
    "notebooks/README.md",
    "notebooks/*.ipynb",
]
exclude_patterns = ["**/.*", ".*", "build", "dist", "runs"]
nitpicky = True  # a name in a docstring that leads nowhere is a warning

myst_enable_extensions = ["attrs_inline", "deflist", "dollarmath"]
myst_heading_anchors = 4
# `experiments/README.md` is read as text, not as a notebook: only pages that say so in
# their first lines are run, and an error in one ends the build.
nb_execution_mode = "force"
# Notebooks are shown with the outputs that they are committed with.
nb_execution_excludepatterns = ["notebooks/*.ipynb"]
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_ipywidgets_js = {}  # from elsewhere; without a kernel sliders move nothing

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 70
napoleon_numpy_docstring = False
napoleon_use_admonition_for_examples = False
copybutton_exclude = ".linenos, .gp, .go"

# Names of other packages, whose indexes a build without a network cannot read.
FOREIGN = "jax jaxlib flax nnx optax chex numpy np matplotlib collections typing"
nitpick_ignore_regex = [
    ("py:.*", rf"({FOREIGN.replace(' ', '|')})(\..*)?"),
    ("py:.*", r"[a-zA-Z]+"),  # without a module: a builtin, or shortened
    ("py:.*", r"autodrop_optax\.flax\.(linen\.State|_nnx\.M)"),  # type variables
]

html_theme = "sphinx_book_theme"
html_title = "autodrop_optax"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_sourcelink = False
html_additional_pages = {"index": "redirect.html"}
templates_path = ["_templates"]
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navigation_with_keys": False,
    "navbar_persistent": [],
}


# Aliases that signatures would spell out.
ALIASES = {
    r"[\w.~]+Array \| [\w.~]+ndarray \| [\w.~]+bool \| [\w.~]+number \| float \| int": (
        "~chex.Numeric"
    ),
    r"str \| type\[[\w.~]+\] \| [\w.~]+dtype \| [\w.~]+SupportsDType": (
        "~jax.typing.DTypeLike"
    ),
}


def shorten(app, what, name, obj, options, signature, returns):
    """Puts the names of aliases back."""
    for long, short in ALIASES.items():
        signature = signature and re.sub(long, short, signature)
    return signature, returns


def setup(app):
    """Registers what this file adds to Sphinx."""
    app.connect("autodoc-process-signature", shorten)
