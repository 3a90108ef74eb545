"""Pages of one HTML file each: a frame for any page, and the page of a comparison's report.

`markup` builds tags and escapes all text, `frame` is the head, the style and the landmarks, `axes`,
`intervals` and `lines` draw numbers as inline SVG, `samples` shows rows and images before and after.
"""
