"""The figures of a report: charts of its tables, drawn as SVG; `catalogue.FIGURES` lists them."""
