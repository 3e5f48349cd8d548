"""The book: execute the chapters, keep what is unchanged, render the pages.

A modality is a pair of files: ``chapters/xray/study.py`` (percent-format notebook) computes, and
``chapters/xray/recommendations.md`` (prose) quotes.

What a notebook chapter does
----------------------------
1. Its first code cell is tagged ``parameters`` and holds annotated assignments with literal values::

       # %% tags=["parameters"]
       profile: str = "quick"
       label_counts: list[int] = [10, 20]

   ``medssl book --chapter xray/study --parameter label_counts='[10, 40]'`` replaces a value;
   an unknown name or a wrong type is an error.
   ``profile`` is given by ``--profile``, and the chapter's own code branches on it.
2. It may say which files it reads, as a literal in any cell::

       declared_data = ["records/pneumoniamnist/**/*.json", "$MEDSSL_DATA/medmnist/pneumoniamnist.npz"]

   The patterns are relative to the repository; those that begin with ``$MEDSSL_DATA/`` count in the
   ``full`` profile only.
   Without this line everything below ``records/`` counts.
   A chapter is executed again when one of these files changes.
   Data files beside an imported medssl module (``medssl/evidence/*.csv``) count without being declared.
3. It asks where to write, and writes its numbers for the narrative::

       from medssl.book import Results, workspace
       place = workspace()        # .figures .results .records .profile .chapter .root
       results = Results()
       results.add("pooled_gain", 0.012, text="0.012 (95% CI 0.003 to 0.021)", cell="xray-pooled")
       results.save()

   Figures go to ``place.figures`` (``<figure_id>/<figure_id>.svg`` and so on).
   ``cell`` is the MyST label ``(xray-pooled)=`` that ends the markdown cell before the code cell.

What a narrative page does
--------------------------
- ``{result}`pooled_gain``` writes the text of a number and links to the cell that made it.
  A notebook in another folder is named first: ``{result}`xray/study:pooled_gain```.
- The directive ``{figure-card} xray-bubble`` shows a figure with its caption, alt text and downloads.
- A digit typed by hand is an error; ``{fact}`28 x 28``` marks one that is no result,
  and ``<!-- fact -->`` at the end of a line excuses that line.
"""

from medssl.book._workspace import Workspace, workspace
from medssl.book.results import Results

__all__ = ["Results", "Workspace", "workspace"]
