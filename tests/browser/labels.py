"""What of a page's labels cannot be read: texts of a chart that lie on each other, that leave it, and names cut short that stand nowhere in full."""

# Corners of each text as it stands, also aslant.
TEXTS = """() => [...document.querySelectorAll(".chart")].map((host) => {
    const shown = (node) => { const style = getComputedStyle(node); return style.display !== "none" && style.visibility !== "hidden" && style.opacity !== "0"; };
    const texts = [...host.querySelectorAll("svg.main-svg text")].filter((node) => node.textContent.trim() !== "" && shown(node)
        && node.getBoundingClientRect().width > 0 && !node.closest(".hoverlayer")).map((node) => {
        const { x, y, width, height } = node.getBBox();
        const matrix = node.getScreenCTM();
        const corners = [[x, y], [x + width, y], [x + width, y + height], [x, y + height]].map(([a, b]) => { const at = new DOMPoint(a, b).matrixTransform(matrix); return [at.x, at.y]; });
        return { text: node.textContent, corners };
    });
    const { left, right } = host.getBoundingClientRect();
    return { id: host.id, left, right, texts, caption: host.closest("figure").querySelector("figcaption").textContent };
})"""
SLACK = 4  # px: the box of a text is higher than its ink, by the space between lines


def depth(a, b):
    """How far two rectangles, each of four corners in turn, reach into each other: the least over the directions of their sides."""
    least = float("inf")
    for corners in (a, b):
        for (x0, y0), (x1, y1) in ((corners[0], corners[1]), (corners[1], corners[2])):
            length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
            spans = [[(x * (x1 - x0) + y * (y1 - y0)) / length for x, y in of] for of in (a, b)]
            least = min(least, min(max(span) for span in spans) - max(min(span) for span in spans))
    return least


def label_problems(page, names=()):
    """`names`: those that must be readable wherever they are cut short."""
    wrong = []
    for chart in page.evaluate(TEXTS):
        texts = chart["texts"]
        for i, a in enumerate(texts):
            wrong += [f"{chart['id']}: '{a['text'][:40]}' on '{b['text'][:40]}' by {depth(a['corners'], b['corners']):.0f} px" for b in texts[:i] if depth(a["corners"], b["corners"]) > SLACK]
            across = [x for x, _ in a["corners"]]
            if min(across) < chart["left"] - 2 or max(across) > chart["right"] + 2:
                wrong.append(f"{chart['id']}: '{a['text'][:40]}' leaves the chart")
            begin, _, end = a["text"].partition("…")
            whole = [name for name in names if end + begin and "…" in a["text"] and name.startswith(begin) and name.endswith(end)]
            if whole and not all(name in chart["caption"] for name in whole):
                wrong.append(f"{chart['id']}: '{a['text'][:40]}' stands nowhere in full")
    return wrong
