"""The frame of a page: head, style, skip link, contents and landmarks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tfrs_augment.evaluation.reporting.pages.markup import Markup, join, tag

LIGHT = {
    "page": "#ffffff",
    "card": "#f6f8fa",
    "text": "#1b1f24",
    "muted": "#57606a",
    "link": "#0550ae",
    "helps": "#116329",
    "hurts": "#a40e26",
    "rule": "#d0d7de",
    "series": "#1b1f24 #0550ae #9a4d00 #116329 #8250df #a40e26 #146c72 #a82b76",
}
DARK = {
    "page": "#0d1117",
    "card": "#161b22",
    "text": "#e6edf3",
    "muted": "#9ea7b3",
    "link": "#79c0ff",
    "helps": "#56d364",
    "hurts": "#ff8e86",
    "rule": "#3d444d",
    "series": "#e6edf3 #79c0ff #f0b35a #56d364 #d2a8ff #ff8e86 #76e3ea #ff9bce",
}
"""Every colour but "rule", which only parts rows, has a contrast of 4.5 or more to page and card."""

SERIES = 8
"""Colours of lines, told apart by dashes and numbers too."""

# Nothing can be loaded, whatever the text of a page holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_STYLE = """
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--page);color:var(--text);
 font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}
.skip{position:absolute;left:-100vw;padding:.6rem 1rem;background:var(--page);z-index:2}
.skip:focus{left:0}
header,main,footer{max-width:75rem;margin:0 auto;padding:0 1.25rem;overflow-wrap:anywhere}
header{padding-top:2rem}
h1{font-size:clamp(1.5rem,4vw,2.1rem);line-height:1.2;margin:0 0 .4rem;letter-spacing:-.01em}
h2{font-size:1.35rem;line-height:1.3;margin:2.75rem 0 .6rem;padding-top:.6rem;
 border-top:1px solid var(--rule)}
h3{font-size:1.05rem;margin:1.6rem 0 .4rem}
p{margin:.5rem 0;max-width:46rem}
a{color:var(--link);text-underline-offset:.15em}
:focus-visible{outline:3px solid var(--link);outline-offset:2px;border-radius:3px}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;padding:0;margin:1rem 0 0}
nav a{display:inline-block;padding:.3rem 0}
.note,figcaption,caption{color:var(--muted)}
.lead{list-style:none;padding:0;margin:1rem 0;display:grid;gap:.75rem;
 grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr))}
.lead li,.card{background:var(--card);border:1px solid var(--rule);border-radius:.5rem;
 padding:.8rem 1rem}
.lead strong{display:block;font-size:1.05rem}
.lead span{display:block}
.scroll{overflow-x:auto;max-width:100%;margin:.8rem 0}
table{border-collapse:separate;border-spacing:0;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:0 0 .5rem;max-width:46rem}
th,td{padding:.36rem .8rem;border-bottom:1px solid var(--rule);text-align:right;white-space:nowrap}
th:first-child,td.words,th.words{text-align:left}
caption:has(+tbody){color:var(--text);font-size:1.05rem;font-weight:700;padding-top:.8rem}
thead th{color:var(--muted);font-weight:600;vertical-align:bottom}
tbody th{font-weight:500}
tbody th[scope=row]{position:sticky;left:0;background:var(--page);white-space:normal;
 overflow-wrap:break-word;min-width:7rem}
th[scope=rowgroup]{background:var(--card);font-weight:700;text-align:left}
td.wrap,th.wrap{white-space:normal;text-align:left;overflow-wrap:anywhere;min-width:9rem}
.helps{color:var(--helps);font-weight:650}
.hurts{color:var(--hurts);font-weight:650}
.unclear{color:var(--muted)}
.panels{display:grid;gap:1rem;margin:1rem 0;
 grid-template-columns:repeat(auto-fill,minmax(min(100%,21rem),1fr))}
figure{margin:0;min-width:0}
.panels>figure{background:var(--card);border:1px solid var(--rule);border-radius:.5rem;padding:.7rem}
.panels figcaption{color:var(--text);font-weight:600;padding:0 .2rem .3rem}
.panels figcaption small{display:block;color:var(--muted);font-weight:400}
svg{display:block;width:100%;height:auto;max-width:32rem;overflow:visible}
svg text{fill:var(--text);font-size:12px;font-variant-numeric:tabular-nums}
svg text{paint-order:stroke;stroke:var(--card);stroke-width:4px;stroke-linejoin:round}
svg .tick{fill:var(--muted);font-size:11px}
svg .grid{stroke:var(--rule);stroke-width:1}
svg .zero{stroke:var(--muted);stroke-width:1.5;stroke-dasharray:4 3}
svg .mark{stroke:currentColor;fill:currentColor;stroke-width:2}
svg .line{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}
svg .ring{fill:none;stroke:currentColor;stroke-width:2}
svg .bar{fill:currentColor}
svg .before{fill:var(--muted);fill-opacity:.45}
svg .after{fill:none;stroke:currentColor;stroke-width:1.5}
svg .hit{fill:transparent}
svg g:hover>.hit,svg g:focus>.hit{fill:var(--rule);fill-opacity:.45}
svg g:hover>.line,svg g:focus>.line{stroke-width:4}
svg .number{fill:var(--card);stroke:none;font-size:10px;font-weight:700;text-anchor:middle}
.key{list-style:none;padding:0;margin:.6rem 0;display:flex;flex-wrap:wrap;gap:.3rem 1.3rem}
.key svg{display:inline-block;width:40px;vertical-align:middle;margin-right:.4rem}
pre{margin:.6rem 0;padding:.8rem 1rem;background:var(--card);border:1px solid var(--rule);
 border-radius:.5rem;overflow-x:auto;font:.85rem/1.5 ui-monospace,"DejaVu Sans Mono",monospace}
code{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.9em}
details{margin:.8rem 0}
summary{cursor:pointer;padding:.3rem 0;color:var(--link)}
figure.picture img{display:block;max-width:100%;height:auto;background:#ffffff;padding:.5rem;
 border:1px solid var(--rule);border-radius:.5rem}
del{color:var(--hurts)}
ins{color:var(--helps);text-decoration:none;font-weight:650}
footer{margin-top:3rem;padding-top:1rem;padding-bottom:2rem;color:var(--muted)}
@media print{
 body{font-size:10pt}
 header,main,footer{max-width:none;padding-left:0;padding-right:0}
 nav,.skip{display:none}
 h2,h3,caption{break-after:avoid}
 figure,.lead li,tr,.card{break-inside:avoid}
 tr:has(>th[scope=rowgroup]){break-after:avoid}
 tbody th[scope=row]{position:static}
 .scroll,pre{overflow:visible}
 pre{white-space:pre-wrap}
 details::details-content{content-visibility:visible;display:block;height:auto}
 .panels{grid-template-columns:repeat(2,1fr)}
 th,td{padding:.2rem .5rem}
}
"""


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page with a heading of its own.

    Attributes:
      name: its anchor, letters and hyphens.
      title: its heading.
      body: what stands below.
    """

    name: str
    title: str
    body: Markup


def page(
    title: str, sections: Sequence[Section], *, lead: Markup | None = None, note: str = ""
) -> str:
    """Returns a page as the text of one HTML file that loads nothing.

    It is light or dark as the reader's system is, prints in light colours, and has a skip link, contents,
    and a landmark for each part.

    Args:
      title: of the page, as text.
      sections: its parts, in order.
      lead: what stands between the title and the contents. Default: nothing.
      note: the footer's text. Default: no footer.

    Example:
      >>> from tfrs_augment.evaluation.reporting.pages.markup import tag
      >>> text = page("Drift", [Section("found", "What was found", tag("p", "nothing"))])
      >>> ">What was found</h2>" in text, "http:" in text
      (True, False)
    """
    links = [tag("li", tag("a", s.title, href=f"#{s.name}")) for s in sections]
    parts = [
        tag("section", tag("h2", s.title, id=f"{s.name}-title"), s.body, id=s.name,
            aria_labelledby=f"{s.name}-title")
        for s in sections
    ]  # fmt: skip
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("title", title),
        # An empty icon: browsers ask a server for one else.
        tag("link", rel="icon", href="data:,"),
        Markup(f"<style>{_colours()}{_STYLE}</style>"),
    )
    body = join(
        tag("a", "Skip to the content", href="#main", class_="skip"),
        tag(
            "header",
            tag("h1", title),
            lead,
            tag("nav", tag("ul", links), aria_label="Contents") if len(sections) > 1 else None,
        ),
        tag("main", parts, id="main", tabindex="-1"),
        tag("footer", note) if note else None,
    )
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def scrolled(child: Markup, label: str) -> Markup:
    """Returns what is wider than a narrow screen in a part that scrolls, by the keyboard too."""
    return tag("div", child, class_="scroll", tabindex="0", role="region", aria_label=label)


def _colours() -> str:
    """The variables of both schemes; print takes the light one."""

    def rules(colours: dict[str, str]) -> str:
        pairs = [(name, colour) for name, colour in colours.items() if name != "series"]
        pairs += [(f"s{i}", colour) for i, colour in enumerate(colours["series"].split())]
        return ":root{" + "".join(f"--{name}:{colour};" for name, colour in pairs) + "}"

    series = "".join(f".s{i}{{color:var(--s{i})}}" for i in range(SERIES))
    dark = f"@media screen and (prefers-color-scheme:dark){{{rules(DARK)}}}"
    return f"\n{rules(LIGHT)}\n{dark}\n{series}"
