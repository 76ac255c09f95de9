"""The form of the page: its HTML, and a style that follows the reader from light to dark."""

from __future__ import annotations

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{css}</style>
</head>
<body>
<main>
<header>
<h1>{title}</h1>
<p class="lead">{subtitle}</p>
</header>
<ul class="cards">{cards}</ul>
<section>
<h2>How good it is</h2>
<p>Measured on rows that were put aside before the search began. Guessing always gives {guess}.</p>
{metrics}
</section>
<section>
<h2>The search</h2>
<p>Each round has fewer experiments on more data: what did well, and what grew from it. Scores compare within a round;
a thin line marks the best of each, the ring the winner. A triangle stands for a score far below the plot.</p>
<ul class="legend">{legend}</ul>
<figure>{scores}</figure>
<h3>The best experiments</h3>
{best}
<h3>How the winner came about</h3>
<ol class="lineage">{lineage}</ol>
</section>
<section>
<h2>What the winner looks at</h2>
<p>How much it loses on the unseen rows when one column is shuffled. Columns that tell the same share the loss.</p>
<figure>{importance}</figure>
</section>
<section>
<h2>What failed, and what was done about it</h2>
{failures}
</section>
{workers}<section>
<h2>How the winner was trained</h2>
<p>Each epoch was saved as a checkpoint. An attempt that was cut short is followed by one that goes on from there, so no
epoch is trained twice.</p>
{epochs}
</section>
<section>
<h2>The table</h2>
<p>{about}</p>
<ul>{notes}</ul>
<details><summary>Its columns</summary>{columns}</details>
</section>
<section>
<h2>How to reproduce this</h2>
<p>Interrupted, the same command goes on with the same run. Begun afresh, the same seed finds the same.</p>
<pre>{command}</pre>
<p>The fitted model, a scikit-learn pipeline, in Python:</p>
<pre>{code}</pre>
</section>
<footer>run {run} · begun {when} · seed {seed} · table {digest}</footer>
</main>
</body>
</html>
"""

CSS = """
:root {
  --page: #fbfaf8; --panel: #ffffff; --band: #f3f3f1; --mark: #edf2fd;
  --ink: #1d2129; --muted: #687080; --line: #d8dae0; --bad: #c92a2a;
  --linear: #3b6fd4; --svm: #d9620f; --forest: #2b8a3e; --boosting: #7048e8; --neighbours: #0c8599;
  color-scheme: light dark;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14161b; --panel: #1b1e25; --band: #21252d; --mark: #232c40;
    --ink: #e6e8ec; --muted: #97a0b0; --line: #343a46; --bad: #ff7b72;
    --linear: #7aa7ff; --svm: #ffa45c; --forest: #74cf82; --boosting: #b69cff; --neighbours: #56c7d8;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 60rem; margin: 0 auto; padding: 3.5rem 1.25rem 2rem; }
h1 { font-size: 2.1rem; line-height: 1.2; letter-spacing: -0.02em; margin: 0 0 0.5rem; }
h2 { font-size: 1.25rem; letter-spacing: -0.01em; margin: 0 0 0.6rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 0.4rem; }
p { margin: 0 0 0.8rem; max-width: 46rem; text-wrap: pretty; }
section > p { color: var(--muted); }
.lead { font-size: 1.12rem; color: var(--muted); margin: 0; }
.lead b { color: var(--ink); font-weight: 600; }
section, .cards li { background: var(--panel); border: 1px solid var(--line); border-radius: 12px; }
section { padding: 1.5rem 1.6rem; margin: 1.1rem 0; }
.cards { list-style: none; padding: 0; margin: 2rem 0 1.1rem; display: grid; gap: 0.9rem;
  grid-template-columns: repeat(auto-fit, minmax(12.5rem, 1fr)); }
.cards li { padding: 1rem 1.2rem; }
.cards strong { display: block; font-size: 1.75rem; line-height: 1.25; letter-spacing: -0.02em;
  font-variant-numeric: tabular-nums; }
.cards span { color: var(--muted); font-size: 0.88rem; }
.cards li:first-child strong { color: var(--forest); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { padding: 0.42rem 0.9rem 0.42rem 0; border-bottom: 1px solid var(--line); text-align: left; }
td { vertical-align: top; }
th { color: var(--muted); font-weight: 500; white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
td:last-child, th:last-child { padding-right: 0.5rem; }
td:first-child, th:first-child { padding-left: 0.5rem; }
.figure { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td:first-child:not(.figure), td:nth-child(2), td:last-child:not(.figure) { min-width: 9rem; }
.mark td { background: var(--mark); font-weight: 600; }
figure { margin: 0.4rem 0 0; overflow-x: auto; }
svg { display: block; width: 100%; min-width: 36rem; height: auto; }
svg text { font-family: inherit !important; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; padding: 0; margin: 0.2rem 0 0.6rem;
  font-size: 0.85rem; color: var(--muted); }
.legend i { display: inline-block; width: 0.65rem; height: 0.65rem; border-radius: 50%; margin-right: 0.4rem; }
.lineage { margin: 0; padding-left: 2.6rem; font-size: 0.9rem; }
.lineage li::marker { color: var(--muted); font-variant-numeric: tabular-nums; }
.lineage b { font-weight: 600; font-variant-numeric: tabular-nums; margin: 0 0.5rem; }
.lineage span { color: var(--muted); }
pre { background: var(--band); border-radius: 8px; padding: 0.8rem 1rem; overflow-x: auto; margin: 0 0 1rem;
  font: 0.85rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
details { margin-top: 0.6rem; }
summary { cursor: pointer; color: var(--muted); }
ul:empty, p:empty { display: none; }
footer { color: var(--muted); font-size: 0.8rem; padding: 1rem 0.2rem 2rem; overflow-wrap: anywhere; }
@media print { section, .cards li { break-inside: avoid; } main { max-width: none; padding: 0; } }
"""

WORKERS = """<section>
<h2>What died, and how it was healed</h2>
<p>{limits}</p>
<p>{staged}</p>
<p>{saved}</p>
{healed}
<h3>Memory against its limit</h3>
<p>A lane is an attempt in a process of its own, the line above it its limit, and its height the most that it may use.
Lanes in which nothing happened are flat.</p>
<ul class="legend">{legend}<li><b>▲</b> given more, and went on</li><li><b>✕</b> ended</li>
<li><b>▶</b> began again</li></ul>
<figure>{timeline}</figure>
</section>
"""
