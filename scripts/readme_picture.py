#!/usr/bin/env python3
"""Makes docs/images/report.png: the MRI chart around the shift of a study's report, 1400 px wide.

usage: readme_picture.py [--report runs/demo/report.html] [--out docs/images/report.png]

Needs playwright (scripts/requirements-test.txt) and Chromium; $CHROMIUM names another binary.
"""
import argparse
import os
import pathlib
import sys

from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).resolve().parents[1]
WIDTH, SECTION, CHART = 1400, "#balance", "#figure-mri"
MOST_BYTES = 300_000


def picture(report, out):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 1000}, color_scheme="light")
        page.goto(report.resolve().as_uri())
        section = page.locator(SECTION)
        section.scroll_into_view_if_needed()
        chart = section.locator(CHART)
        chart.locator(".main-svg").first.wait_for(timeout=60_000)
        page.wait_for_timeout(500)  # the chart's own layout follows its first drawing
        section.evaluate("element => element.scrollIntoView()")
        top = section.bounding_box()["y"]
        box = chart.bounding_box()
        height = box["y"] + box["height"] - top + 16
        page.set_viewport_size({"width": WIDTH, "height": round(height)})
        section.evaluate("element => element.scrollIntoView()")
        page.wait_for_timeout(500)
        out.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=out)
        browser.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--report", type=pathlib.Path, default=ROOT / "runs" / "demo" / "report.html")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs" / "images" / "report.png")
    args = parser.parse_args()
    if not args.report.is_file():
        print(f"readme_picture: {args.report}: got no such file; need a report (./demo.sh makes one)", file=sys.stderr)
        return 2
    picture(args.report, args.out)
    n_bytes = args.out.stat().st_size
    print(f"{args.out}: {n_bytes} bytes")
    if n_bytes > MOST_BYTES:
        print(f"readme_picture: {args.out}: got {n_bytes} bytes; need at most {MOST_BYTES}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
