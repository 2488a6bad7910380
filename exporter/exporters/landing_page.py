"""The landing page at ``/``: what this process is, its status, and links. It has no script and loads nothing else."""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

_STYLE = """
:root { color-scheme: light dark;
  --ink: #1d2430; --soft: #5b6675; --line: #d9dfe7; --page: #f5f7fa; --card: #fff; --mark: #c7431f }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ecf2; --soft: #9aa6b6; --line: #313a48; --page: #12161d; --card: #1a202a; --mark: #ff8a65 }
}
* { box-sizing: border-box }
body { margin: 0; padding: 8vh 1.25rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif }
main { max-width: 36rem; margin: auto; padding: 2rem; background: var(--card);
  border: 1px solid var(--line); border-top: 4px solid var(--mark); border-radius: 6px }
h1 { margin: 0; font-size: 1.4rem; overflow-wrap: anywhere }
h1 small { font-weight: 400; font-size: 1rem; color: var(--soft) }
p { margin: .25rem 0 1.5rem; color: var(--soft) }
dl { display: grid; grid-template-columns: auto 1fr; gap: .35rem 1.5rem; margin: 0 0 1.5rem }
dt { color: var(--soft) }
dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
ul { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; margin: 0; padding: 1.25rem 0 0; list-style: none;
  border-top: 1px solid var(--line) }
a { color: var(--mark) }
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Headers of the page. They allow its own style sheet and nothing else."""


@dataclass(frozen=True, slots=True)
class StatusLine:
    """A line of the page's status, such as "Active calls" with the value "12"."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Product:
    """What the page says about the product. With an empty ``docs_url`` it has no link to documentation."""

    name: str
    version: str
    description: str
    docs_url: str = ""


def landing_page(product: Product, status: Iterable[StatusLine] = (), *, live: bool = False) -> str:
    """The page as HTML, with a link to /live if that is served. All text is escaped; a ``docs_url`` that is not http(s) is left out."""
    rows = "".join(f"<dt>{escape(line.label)}</dt><dd>{escape(line.value)}</dd>" for line in status)
    links = [("live", "Live calls")] if live else []
    links += [("/metrics", "Metrics"), ("/-/ready", "Readiness"), ("/-/healthy", "Health")]
    if product.docs_url.startswith(("https://", "http://")):
        links.append((product.docs_url, "Documentation"))
    items = "".join(f'<li><a href="{escape(target)}">{text}</a></li>' for target, text in links)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(product.name)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(product.name)} <small>{escape(product.version)}</small></h1><p>{escape(product.description)}</p>"
        f"{f'<dl>{rows}</dl>' if rows else ''}<nav><ul>{items}</ul></nav></main></body></html>\n"
    )
